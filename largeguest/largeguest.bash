# SPDX-License-Identifier: GPL-2.0-or-later
# Completion of the command largeguest for bash.

_largeguest() {
    local word=$2 before=$3 options
    local properties="--cputune --numatune --guestnuma"
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "plan check apply host engine-config pins keeper --help" -- "$word")
        return
    fi
    case $before in
        --host)
            mapfile -t COMPREPLY < <(compgen -W "local none" -- "$word"; compgen -f -- "$word")
            return;;
        --mode)
            mapfile -t COMPREPLY < <(compgen -W "strict preferred interleave" -- "$word")
            return;;
        --domain | --svg)
            mapfile -t COMPREPLY < <(compgen -f -- "$word")
            return;;
        --cputune | --numatune | --guestnuma | --vcpus | --memory | --hugepages | --threads | --reserve | --exclude | --nodes | --cver | --connect)
            return;;
    esac
    case ${COMP_WORDS[1]} in
        plan) options="--vcpus --memory --hugepages --domain --threads --reserve --exclude --mode --nodes --pack --spread --host --json --svg";;
        check) options="$properties --host --svg";;
        apply) options="$properties --host --diff";;
        host) options="--host --json --svg";;
        pins | keeper) options="--connect";;
        engine-config) options="--cver";;
        *) return;;
    esac
    if [[ $word == -* || ! ${COMP_WORDS[1]} =~ ^(check|apply)$ ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options --help" -- "$word")
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
    fi
}
complete -o filenames -F _largeguest largeguest
