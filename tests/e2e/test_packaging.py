# SPDX-License-Identifier: GPL-2.0-or-later
"""The project as built by autotools, rpm and pip."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from largeguest import VERSION
from largeguest.host import reservations
from tests import ROOT, books, programs
from tests.engine import standin

from . import host

HOOKS = "/usr/libexec/vdsm/hooks"
POINTS = (
    "after_vm_migrate_destination",
    "before_memory_hotplug",
    "before_vm_dehibernate",
    "before_vm_migrate_destination",
    "before_vm_start",
)
COMPLETIONS = (
    "bash-completion/completions/largeguest",
    "fish/vendor_completions.d/largeguest.fish",
    "zsh/site-functions/_largeguest",
)
SCRIPTS = {f"{HOOKS}/{point}/50_largeguest" for point in POINTS}
COMMAND = "/usr/bin/largeguest"

DIST_INFO = ("COPYING", "INSTALLER", "METADATA", "WHEEL", "entry_points.txt", "top_level.txt")
DOCS = ("CHANGELOG", "README")
MAN_PAGES = {
    "vdsm-hook-largeguest": ("man8/largeguest-keeper.8",),
    "largeguest": ("man1/largeguest.1", "man7/largeguest-properties.7"),
    "largeguest-engine": ("man1/largeguest-engine.1",),
    "ovirt-engine-ui-largeguest": ("man8/largeguest-ui.8",),
}
UI = ROOT / "largeguest/engine/ui"
UI_FILES = {
    "/etc/httpd/conf.d/z-ovirt-engine-largeguest.conf",
    "/usr/lib/sysusers.d/ovirt-engine-largeguest.conf",
    "/usr/share/ovirt-engine-largeguest/application.wsgi",
    "/usr/share/ovirt-engine/ui-plugins/largeguest.json",
    *(
        f"/usr/share/ovirt-engine/ui-plugins/largeguest-resources/{path.name}"
        for path in (UI / "largeguest-resources").iterdir()
    ),
}
ALL_PAGES = [page for pages in MAN_PAGES.values() for page in pages]


def query(rpm: Path, *arguments: str) -> list[str]:
    command = ["rpm", "--query", "--package", *arguments, str(rpm)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def make(folder: Path, *arguments: str) -> str:
    result = subprocess.run(
        ["make", *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert result.returncode == 0, result.stdout[-3000:]
    return result.stdout


def sitelib() -> str:
    """The hosts' folder for Python packages: what rpm knows, or Debian's, whose rpm does not know it."""
    command = ["rpm", "--eval", "%{?python3_sitelib}"]
    known = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return known or "/usr/lib/python3/dist-packages"


def plain(names: Iterable[str]) -> list[str]:
    """Names of files without what depends on rpm and setuptools.

    Those are compressed man pages, a version in the folder of documents, and since setuptools 77 a folder of licenses.
    """
    names = (name.removesuffix(".gz").replace(f"-{spec_version()}/", "/") for name in names)
    return [name.replace(".dist-info/licenses/", ".dist-info/") for name in names]


def spec_version() -> str:
    found = re.search(r"^Version: *(\S+)$", (ROOT / "vdsm-hook-largeguest.spec").read_text(), re.MULTILINE)
    assert found
    return found[1]


def modules_below(folder: str) -> set[str]:
    """The package's modules, installed in a folder."""
    return {f"{folder}/{path.relative_to(ROOT)}" for path in (ROOT / "largeguest").rglob("*.py")}


def files_below(folder: Path) -> set[str]:
    return {f"/{path.relative_to(folder)}" for path in folder.rglob("*") if path.is_file()}


def modes_in(rpm: Path) -> dict[str, str]:
    """The files in it and their modes, without compiled Python; all are root's."""
    listed = query(rpm, "--queryformat", "[%{FILEMODES:perms} %{FILEUSERNAME} %{FILENAMES}\n]")
    files = [line.split() for line in plain(listed) if "__pycache__" not in line and line[0] != "d"]
    assert {owner for _, owner, _ in files} == {"root"}
    return {name: mode for mode, _, name in files}


def executable(modes: dict[str, str]) -> set[str]:
    return {name for name, mode in modes.items() if mode == "-rwxr-xr-x"}


def common_files(name: str) -> set[str]:
    return {f"/usr/share/licenses/{name}/COPYING", *(f"/usr/share/man/{page}" for page in MAN_PAGES[name])}


def test_rpm_holds_what_vdsm_looks_for(rpm: Path) -> None:
    modes = modes_in(rpm)
    assert set(modes) == {
        *SCRIPTS,
        *(f"/usr/share/doc/vdsm-hook-largeguest/{name}" for name in DOCS),
        *common_files("vdsm-hook-largeguest"),
        "/usr/lib/systemd/system/vdsm-largeguest-keeper.service",
        "/usr/lib/systemd/system-preset/85-vdsm-largeguest-keeper.preset",
        "/usr/lib/tmpfiles.d/vdsm-largeguest.conf",
    }
    assert executable(modes) == SCRIPTS


def test_the_rpm_of_the_command_holds_the_python_package(rpm: Path) -> None:
    modes = modes_in(host.beside(rpm, "largeguest"))
    assert set(modes) == {
        COMMAND,
        *common_files("largeguest"),
        *(f"/usr/share/{path}" for path in COMPLETIONS),
        *modules_below(sitelib()),
        *(f"{sitelib()}/vdsm_hook_largeguest-{spec_version()}.dist-info/{name}" for name in DIST_INFO),
    }
    assert executable(modes) == {COMMAND}


def test_the_rpm_for_the_engine_adds_what_it_needs(rpm: Path) -> None:
    assert set(modes_in(host.beside(rpm, "largeguest-engine"))) == common_files("largeguest-engine")


def test_the_rpm_for_the_web_admin_holds_plugin_and_service(rpm: Path) -> None:
    own = host.beside(rpm, "ovirt-engine-ui-largeguest")
    modes = modes_in(own)
    assert set(modes) == {*UI_FILES, *common_files("ovirt-engine-ui-largeguest")}
    assert executable(modes) == set()
    assert query(own, "--configfiles") == ["/etc/httpd/conf.d/z-ovirt-engine-largeguest.conf"]
    assert "systemd-sysusers ovirt-engine-largeguest.conf" in query(own, "--scripts")


def test_rpm_is_compiled_for_the_hosts_python(rpm: Path) -> None:
    names = query(host.beside(rpm, "largeguest"), "--list")
    sources = {name.removesuffix(".py") for name in names if name.endswith(".py")}
    compiled = (re.fullmatch(r"(.*/)__pycache__/([^/]*)\.cpython-\d+\.pyc", name) for name in names)
    assert {found[1] + found[2] for found in compiled if found} == sources


NEEDS: dict[str, set[str]] = {
    "vdsm-hook-largeguest": {"largeguest", "python3-libvirt", "vdsm"},
    "largeguest": {"python3-lxml"},
    "largeguest-engine": {"largeguest", "python3-ovirt-engine-sdk4"},
    "ovirt-engine-ui-largeguest": {
        *("httpd", "largeguest-engine", "mod_ssl"),
        *("ovirt-engine-webadmin-portal", "python3-mod_wsgi"),
    },
}


@pytest.mark.parametrize("name", NEEDS)
def test_rpm_header(rpm: Path, name: str) -> None:
    own = host.beside(rpm, name)
    assert query(own, "--queryformat", "%{NAME} %{VERSION} %{ARCH} %{LICENSE}") == [
        f"{name} {spec_version()} noarch GPL-2.0-or-later"
    ]
    requires = query(own, "--requires")
    known = {needed for needs in NEEDS.values() for needed in needs}
    assert {line.split()[0] for line in requires} & known == NEEDS[name]
    assert [line for line in requires if line.split()[0] == "largeguest"] == [
        f"largeguest = {spec_version()}-1" for needed in NEEDS[name] if needed == "largeguest"
    ]
    pages = [f"/usr/share/man/{page}" for page in MAN_PAGES[name]]
    docs = [f"/usr/share/doc/{name}/{file}" for file in DOCS] if name == "vdsm-hook-largeguest" else []
    assert plain(query(own, "--docfiles")) == docs + pages
    assert plain(query(own, "--licensefiles")) == [f"/usr/share/licenses/{name}/COPYING"]


@programs.NEEDS_SDK
def test_the_engines_command_runs_without_vdsm_and_libvirt(rpm: Path, tmp_path: Path) -> None:
    """The two RPMs alone, where there is no libvirt: with the SDK, and without it."""
    tree = tmp_path / "tree"
    host.install_in_tree(tree, host.beside(rpm, "largeguest"), host.beside(rpm, "largeguest-engine"))
    for folder in ("without", "with"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "libvirt.py").write_text("raise ImportError('there is no libvirt')\n")
    for name in ("ovirt-engine-sdk-python", "pycurl"):
        for file in importlib.metadata.files(name) or ():
            if ".." not in file.parts:
                (tmp_path / "with" / file.parent).mkdir(parents=True, exist_ok=True)
                shutil.copy2(str(file.locate()), tmp_path / "with" / file)
    engine = standin.Engine()
    engine.machine("host1", books.large_host(), None)
    engine.vm("db01", config=standin.Config(topology=(2, 4, 2), memory=65536))

    def run(folder: str, *arguments: str) -> tuple[int, str, str]:
        mount = ["unshare", "--mount", "bash", "-c", 'mount -t overlay none -o "lowerdir=$0:/usr" /usr && exec "$@"']
        environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path / folder), "OVIRT_URL": url}
        environ |= {"OVIRT_USERNAME": "admin@internal", "OVIRT_PASSWORD": standin.PASSWORD}
        command = [*mount, str(tree / "usr"), COMMAND, "engine", *arguments]
        ended = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        return ended.returncode, ended.stdout, ended.stderr

    with standin.serve(engine) as url:
        code, out, err = run("without", "--help")
        assert (code, err, "    plan " in out) == (0, "", True)
        code, out, err = run("with", "plan", "db01", "--insecure")
        assert (code, err, "\ncputune    all#=cell,emulator#cell\n" in out) == (0, "", True)
        assert run("without", "plan", "db01", "--insecure") == (
            2,
            "",
            "largeguest: engine: oVirt's SDK for Python is not installed: "
            "dnf install largeguest-engine, or pip install vdsm-hook-largeguest[engine]\n",
        )


@pytest.mark.parametrize("name", NEEDS)
def test_no_macro_stays_as_text_in_the_rpm(rpm: Path, name: str) -> None:
    own = host.beside(rpm, name)
    everything = [line for what in ("scripts", "list", "requires", "info") for line in query(own, f"--{what}")]
    assert [line for line in everything if "%" in line] == []


def test_tarball_holds_the_whole_project(rpm: Path, sources: Path) -> None:  # noqa: ARG001 (the RPM's tarball)
    name = f"vdsm-hook-largeguest-{spec_version()}"
    with tarfile.open(sources / f"{name}.tar.gz") as tar:
        inside = {member.name.removeprefix(f"{name}/") for member in tar if member.isfile()}
    project = {path for path in project_files() if not path.startswith(".")}
    assert project - inside == set()
    generated = {path for path in inside - project if not path.startswith("build-aux/")}
    completions = {Path(path).name for path in COMPLETIONS}
    assert {Path(path).name for path in generated} == {"Makefile.in", "configure", "aclocal.m4", *completions}


def test_make_install_and_uninstall(rpm: Path, sources: Path, tmp_path: Path) -> None:  # noqa: ARG001 (configured)
    """All but the Python package, which pip installs."""
    make(sources, "install", f"DESTDIR={tmp_path}", "vdsmhooksdir=/hooks")
    installed = {path for path in files_below(tmp_path) if "__pycache__" not in path}
    assert installed == {
        *(f"/hooks/{point}/50_largeguest" for point in POINTS),
        *(f"/usr/local/share/{path}" for path in COMPLETIONS),
        *(f"/usr/local/share/man/{page}" for page in ALL_PAGES),
        "/usr/local/lib/systemd/system/vdsm-largeguest-keeper.service",
        "/usr/local/lib/systemd/system-preset/85-vdsm-largeguest-keeper.preset",
        "/usr/local/lib/tmpfiles.d/vdsm-largeguest.conf",
        *(path.replace("/usr", "/usr/local").replace("/etc", "/usr/local/etc") for path in UI_FILES),
    }
    for path in COMPLETIONS:
        shell = path.partition("/")[0].removesuffix("-completion")
        command = [sys.executable, "-m", "largeguest.cli.completion", shell]
        generated = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
        assert (tmp_path / "usr/local/share" / path).read_bytes() == generated
    make(sources, "uninstall", f"DESTDIR={tmp_path}", "vdsmhooksdir=/hooks")
    assert files_below(tmp_path) == set()


def test_systemd_makes_the_folder_of_the_reservations(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\nvdsm:x:36:36::/:/bin/false\n")
    (tmp_path / "etc/group").write_text("root:x:0:\nkvm:x:36:\n")
    conf = ROOT / "largeguest/vdsm-largeguest.conf"
    subprocess.run(["systemd-tmpfiles", "--create", f"--root={tmp_path}", str(conf)], check=True)
    for path in (f"/{reservations.FOLDER}", f"/{reservations.FOLDER}/reservations", f"/{reservations.FOLDER}/choose"):
        made = (tmp_path / path[1:]).stat()
        assert (made.st_uid, made.st_gid, made.st_mode & 0o7777) == (36, 36, 0o600 if "choose" in path else 0o755)


def test_systemd_makes_the_user_of_the_service(tmp_path: Path) -> None:
    """The one that httpd's configuration names: without it httpd, and with it the whole portal, would not start."""
    (tmp_path / "etc").mkdir()
    command = ["systemd-sysusers", f"--root={tmp_path}", str(UI / "ovirt-engine-largeguest.conf")]
    subprocess.run(command, check=True)
    (user,) = (tmp_path / "etc/passwd").read_text().splitlines()
    name, _, _, _, _, home, shell = user.split(":")
    assert (home, Path(shell).name) == ("/", "nologin")
    configuration = (UI / "z-ovirt-engine-largeguest.conf").read_text()
    assert re.findall("user=(\\S+) group=(\\S+)", configuration) == [(name, name)]
    assert f"{name}:" in (tmp_path / "etc/group").read_text()


def test_make_distcheck(rpm: Path, sources: Path) -> None:  # noqa: ARG001 (configured)
    """Builds, checks, installs and uninstalls outside a read-only source folder."""
    one_test = f"{sys.executable} -m pytest -q tests/test_cpuset.py"
    output = make(sources, "distcheck", f"PYTEST={one_test}", "PYTHONDONTWRITEBYTECODE=1")
    assert " passed in " in output


def test_the_folder_builds_inside_vdsms_tree(tmp_path: Path) -> None:
    """A stand-in for VDSM's source tree: what its configure.ac and vdsm_hooks/Makefile.am do for a hook, no more."""
    hooks = tmp_path / "vdsm_hooks"
    (hooks / "largeguest").mkdir(parents=True)
    for path in (ROOT / "vdsm_hooks/largeguest").iterdir():
        if path.name not in ("Makefile", "Makefile.in", "__pycache__"):
            (hooks / "largeguest" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "configure.ac").write_text(
        "AC_INIT([vdsm], [4.50])\n"
        "AC_CONFIG_AUX_DIR([build-aux])\n"
        "AM_INIT_AUTOMAKE([-Wno-portability foreign])\n"
        "AC_SUBST([vdsmexecdir], ['${libexecdir}/vdsm'])\n"
        "AC_SUBST([vdsmhooksdir], ['${vdsmexecdir}/hooks'])\n"
        "AC_OUTPUT([Makefile vdsm_hooks/Makefile vdsm_hooks/largeguest/Makefile])\n"
    )
    (tmp_path / "Makefile.am").write_text("SUBDIRS = vdsm_hooks\n")
    (hooks / "Makefile.am").write_text("SUBDIRS = largeguest\n")
    for command in (["autoreconf", "-i"], ["./configure", "--prefix=/usr"]):
        subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    make(tmp_path, "install", f"DESTDIR={tmp_path / 'root'}")
    for point in POINTS:
        hook = tmp_path / "root" / HOOKS.lstrip("/") / point / "50_largeguest"
        assert stat.S_IMODE(hook.stat().st_mode) == 0o755
        assert hook.read_bytes() == (ROOT / "vdsm_hooks/largeguest/hook.py").read_bytes()
    make(tmp_path, "distcheck")


def test_the_folder_keeps_vdsms_conventions(tmp_path: Path) -> None:
    """VDSM checks its tree with `reuse lint`, and its hooks with flake8, with these settings of its tox.ini."""
    folder = tmp_path / "vdsm_hooks/largeguest"
    folder.mkdir(parents=True)
    for path in (ROOT / "vdsm_hooks/largeguest").iterdir():
        if path.is_file() and path.name not in ("Makefile", "Makefile.in"):
            (folder / path.name).write_bytes(path.read_bytes())
    (tmp_path / "LICENSES").mkdir()
    (tmp_path / "LICENSES/GPL-2.0-or-later.txt").write_bytes((ROOT / "COPYING").read_bytes())
    for command in (["flake8", "--isolated", "--ignore=E731,E722,W504,W503,E203", "."], ["reuse", "lint"]):
        result = subprocess.run(
            [sys.executable, "-m", *command], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stdout + result.stderr


def test_a_new_version_in_the_spec_is_all_it_takes(rpm: Path, sources: Path, tmp_path: Path) -> None:  # noqa: ARG001
    tree = tmp_path / "sources"
    shutil.copytree(sources, tree)
    spec = tree / "vdsm-hook-largeguest.spec"
    spec.write_text(spec.read_text().replace(f"Version:        {spec_version()}", "Version:        9.8.7"))
    make(tree, "dist")
    assert (tree / "vdsm-hook-largeguest-9.8.7.tar.gz").exists()


def unpack_sdist(sources: Path, folder: Path) -> Path:
    """The project as it is on PyPI."""
    command = [sys.executable, "setup.py", "-q", "sdist", "--dist-dir", str(folder)]
    subprocess.run(command, cwd=sources, capture_output=True, check=True)
    (archive,) = folder.iterdir()
    shutil.unpack_archive(archive, folder)
    (unpacked,) = (path for path in folder.iterdir() if path.is_dir())
    return unpacked


def test_the_sdist_is_the_whole_project(sources: Path, rpm: Path, tmp_path: Path) -> None:
    unpacked = unpack_sdist(sources, tmp_path)
    inside = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
    assert project_files() - inside == {".gitignore"}
    collected = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider"],
        cwd=unpacked,
        capture_output=True,
        text=True,
        check=False,
    )
    assert collected.returncode == 0, collected.stdout[-3000:]
    of_sdist = host.build_rpm(unpacked)
    for name in NEEDS:
        assert query(host.beside(of_sdist, name), "--list") == query(host.beside(rpm, name), "--list")
    assert wheel_files(unpacked, tmp_path / "a") == wheel_files(sources, tmp_path / "b")


def wheel_files(project: Path, folder: Path) -> dict[str, bytes]:
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), "."]
    subprocess.run(command, cwd=project, capture_output=True, check=True)
    (wheel,) = folder.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def project_files() -> set[str]:
    """What git has of the project, including new files."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return {path for path in listed.stdout.split() if (ROOT / path).exists()}


def test_pip_installs_the_command(sources: Path, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--target", str(tmp_path)]
    subprocess.run([*pip, str(sources)], capture_output=True, check=True)
    result = subprocess.run(
        [tmp_path / "bin/largeguest", "apply", "--host", "none", "--cputune", "0#0", "-"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        input=b"<domain><memory>1024</memory></domain>",
        capture_output=True,
        check=True,
    )
    assert b'<vcpupin vcpu="0" cpuset="0"/>' in result.stdout
    (metadata,) = tmp_path.glob("*.dist-info/METADATA")
    text = metadata.read_text(encoding="utf-8")
    for field in ("Version", "Home-page", "Description-Content-Type", "License(-Expression)?", "Requires-Dist"):
        assert re.search(f"^{field}: .", text, re.MULTILINE), field
    assert text.endswith((ROOT / "README").read_text(encoding="utf-8"))


def test_the_command_has_the_version_of_the_spec() -> None:
    assert spec_version() == VERSION


def test_the_changelog_begins_with_this_version() -> None:
    headings = re.findall(r"^(\S+)\n-+$", (ROOT / "CHANGELOG").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == spec_version()


@pytest.mark.parametrize("name", ["configure.ac", "setup.py", "Makefile.am", "README"])
def test_the_version_is_nowhere_else(name: str) -> None:
    assert spec_version() not in (ROOT / name).read_text(encoding="utf-8")
