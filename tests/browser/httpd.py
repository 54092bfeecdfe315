# SPDX-License-Identifier: GPL-2.0-or-later
"""An Apache httpd of the tests' own, with the drop-in configuration of the RPM, on a port of its own."""

from __future__ import annotations

import contextlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests import programs

PROGRAM = "apache2"
MODULES = Path("/usr/lib/apache2/modules")
LOADED = ("mpm_event", "authz_core", "alias", "mime", "dir", "env", "reqtimeout", "ssl", "wsgi")
USER = "nobody"
WEBADMIN = Path(__file__).parent / "webadmin"
PLUGIN = "usr/share/ovirt-engine/ui-plugins"
DROP_IN = "etc/httpd/conf.d/z-ovirt-engine-largeguest.conf"

CONFIGURATION = """
ServerName localhost
PidFile {folder}/httpd.pid
DefaultRuntimeDir {folder}
ErrorLog {folder}/error.log
TypesConfig /etc/mime.types
User {user}
Group {group}
Listen 127.0.0.1:{port}
WSGISocketPrefix {folder}/wsgi
SSLEngine on
SSLCertificateFile {certificate}
SSLCertificateKeyFile {certificate}.key
DirectoryIndex index.html
Alias /ovirt-engine/webadmin/plugin/largeguest {plugin}/largeguest-resources
Alias /ovirt-engine/webadmin/plugin.json {plugin}/largeguest.json
Alias /ovirt-engine/webadmin {webadmin}
<Directory {plugin}>
    Require all granted
</Directory>
<Directory {webadmin}>
    Require all granted
</Directory>
"""


@dataclass(frozen=True)
class Site:
    """A server that runs."""

    port: int
    process: int
    """Of the server itself, as root."""
    log: Path

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def service(self) -> int:
        """The process in which the application runs."""
        children = Path(f"/proc/{self.process}/task/{self.process}/children").read_text().split()
        named = {int(child): Path(f"/proc/{child}/cmdline").read_bytes() for child in children}
        return next(child for child, name in named.items() if b"largeguest" in name)


def drop_in(tree: Path, python_path: str, engine: str, certificate: Path) -> str:
    """What the RPM installs, for files that are in a tree, a user that exists here, and an engine elsewhere."""
    text = (tree / DROP_IN).read_text(encoding="utf-8").replace(" /usr/", f" {tree}/usr/")
    group = "nogroup" if Path("/etc/debian_version").exists() else USER
    text = text.replace("user=ovirt-largeguest", f"user={USER}").replace("group=ovirt-largeguest", f"group={group}")
    text = text.replace("home=/ ", f"home=/ python-path={python_path} ")
    text = re.sub("SetEnv OVIRT_CAFILE .*", f"SetEnv OVIRT_CAFILE {certificate}", text)
    return re.sub("# SetEnv OVIRT_URL .*", f"SetEnv OVIRT_URL {engine}", text)


@contextlib.contextmanager
def serve(folder: Path, tree: Path, python_path: str, engine: str, certificate: Path) -> Iterator[Site]:
    """Start httpd with its files in `folder`, and stop it afterwards."""
    port = free_port()
    group = pwd.getpwnam(USER).pw_gid
    known = {"folder": folder, "user": USER, "group": f"#{group}", "port": port, "certificate": certificate}
    modules = [f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in LOADED]
    # httpd's user may not enter a checkout in the home of root
    webadmin = shutil.copytree(WEBADMIN, folder / "webadmin")
    text = CONFIGURATION.format(**known, plugin=tree / PLUGIN, webadmin=webadmin)
    whole = "\n".join([*modules, text, drop_in(tree, python_path, engine, certificate)])
    (folder / "httpd.conf").write_text(whole, encoding="utf-8")
    command = [PROGRAM, "-f", str(folder / "httpd.conf"), "-d", str(folder), "-DFOREGROUND"]
    with open(folder / "output", "wb") as output:
        started = subprocess.Popen(command, env={"PATH": programs.SBIN}, stdout=output, stderr=output)
    try:
        wait_for(port, started, folder)
        yield Site(port, started.pid, folder / "error.log")
    finally:
        started.send_signal(signal.SIGTERM)
        started.wait(30)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def wait_for(port: int, started: subprocess.Popen[bytes], folder: Path) -> None:
    """Until it accepts connections; raises RuntimeError with what it says if it ends."""
    for _ in range(300):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if started.poll() is not None:
            break
        time.sleep(0.1)
    logs = [path.read_text() for path in (folder / "output", folder / "error.log") if path.exists()]
    raise RuntimeError(f"httpd does not run: {' '.join(logs)[-2000:]}")
