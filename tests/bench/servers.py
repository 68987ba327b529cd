"""What the benchmark starts and ends: processes, the servers compared, and what they ask."""

import contextlib
import os
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time


class CannotRun(Exception):
    """Something that is needed is missing; nothing is known about the server."""


class ServerEnded(Exception):
    """A server ended, or did not come up, while it was to be measured."""

    def __init__(self, server):
        words = server.last_words().strip()
        super().__init__(f"{server.name} ended, or did not answer: {words or 'it said nothing'}")
        self.server = server


def say(text):
    print(text, file=sys.stderr, flush=True)


def table(title, head, rows):
    print(f"\n### {title}\n")
    print("|", " | ".join(head), "|")
    print("|" + "--|" * len(head))
    for row in rows:
        print("|", " | ".join(map(str, row)), "|")
    sys.stdout.flush()


# ---- Processes: everything that is started is remembered here, and ended at the end.

started = []


def start(argv, **options):
    # A session of its own: a helper of a helper (nginx's workers) is ended with it, and Ctrl-C
    # reaches this script first, which then ends all in order.
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True, **options)
    started.append(process)
    return process


def end(process, patience=3.0):
    """Ends a process and its children: asked first, then killed."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            # The group is still ours: it has the number of a process not yet waited for.
            if process.returncode is None:
                os.killpg(process.pid, sign)
        try:
            process.wait(patience)
            break
        except subprocess.TimeoutExpired:
            continue
    if process in started:
        started.remove(process)


def end_all():
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, signal.SIG_IGN)
    for process in list(started):
        end(process)


@contextlib.contextmanager
def descriptors(count):
    """Whoever is started inside may open this many files, as far as the hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(count, soft), hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def free_port():
    """A port below the range that outgoing connections use: none of ours can take it away."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        first = int(file.read().split()[0])
    for _ in range(1000):
        port = random.randrange(max(1024, first // 2), first)
        if port in free_port.given:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            free_port.given.add(port)
            return port
    raise CannotRun("no free port")


free_port.given = set()


def ask(port, path="/web", timeout=2.0):
    """One whole answer as bytes; None if there is nobody."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout) as s:
            s.sendall(b"GET %s HTTP/1.0\r\nConnection: close\r\n\r\n" % path.encode())
            parts = []
            while part := s.recv(4096):
                parts.append(part)
            return b"".join(parts)
    except OSError:
        return None


def is_ok(answer):
    return bool(answer) and bool(re.fullmatch(rb"HTTP/1\.[01] 200 .*\r\n\r\nOK", answer, re.DOTALL))


# ---- The servers.


class Server:
    """One of the programs compared. Subclasses say how it is started."""

    def __init__(self, name, work):
        self.name, self.work, self.port = name, work, free_port()
        self.log = os.path.join(work, name.split()[0] + ".log")
        self.process = None

    def argv(self, connections):
        raise NotImplementedError

    def launch(self, connections=512, files=0):
        with open(self.log, "wb") as log, descriptors(files):
            self.process = start(self.argv(connections), stdout=log, stderr=log, cwd=self.work)

    def start(self, **options):
        self.launch(**options)
        give_up = time.monotonic() + 10
        while not is_ok(ask(self.port)):
            if time.monotonic() > give_up or self.process.poll() is not None:
                raise ServerEnded(self)
            time.sleep(0.01)

    def stop(self):
        if self.process:
            end(self.process)
        self.process = None

    def last_words(self):
        with open(self.log, errors="replace") as file:
            return " ".join("".join(file.readlines()[-5:]).split())

    def processes(self):
        """Its process and their children, /proc/PID/stat split behind the name."""
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as file:
                found[int(pid)] = file.read().rpartition(")")[2].split()
        parent = self.process.pid
        if parent not in found or found[parent][0] == "Z":
            raise ServerEnded(self)
        return {p: stat for p, stat in found.items() if p == parent or int(stat[1]) == parent}

    def cpu_seconds(self):
        ticks = sum(int(s[11]) + int(s[12]) for s in self.processes().values())
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory(self):
        """(VmRSS in KiB, threads), summed over its processes."""
        rss = threads = 0
        for pid in self.processes():
            with contextlib.suppress(OSError), open(f"/proc/{pid}/status") as file:
                status = dict(line.split(":", 1) for line in file)
                rss += int(status["VmRSS"].split()[0])
                threads += int(status["Threads"])
        return rss, threads


class Limit(Server):
    def argv(self, connections):
        return [os.path.join(self.work, "limit"), f"127.0.0.1:{self.port}",
                os.path.join(self.work, "answer")]


class Failover(Server):
    binary = backend = None
    more = ""  # Further components of the next start.

    def argv(self, connections):
        path = os.path.join(self.work, f"{self.name}.conf")
        with open(path, "w") as file:
            file.write(f"""
server
    listen 127.0.0.1:{self.port}
component web
    tcp 127.0.0.1:{self.backend}
    every 1s
    timeout 1s
    start fail
    ok-after 1
    fail-after 2
{self.more}""")
        return [self.binary, "run", "-c", path]


class Haproxy(Server):
    def argv(self, connections):
        path = os.path.join(self.work, "haproxy.cfg")
        # It reckons with two descriptors per connection and would refuse to start with fewer; one
        # that is answered here, without a server behind, needs only one.
        with open(path, "w") as file:
            file.write(f"""
global
    nbthread 2
    maxconn {connections + 1000}
    no strict-limits
defaults
    mode http
    timeout client 10s
    timeout connect 5s
    timeout server 10s
    timeout http-request 10s
frontend health
    bind 127.0.0.1:{self.port}
    http-request return status 200 content-type "text/plain" string "OK" if {{ path /web }}
    http-request return status 404
""")
        return [shutil.which("haproxy"), "-f", path, "-db"]


class Nginx(Server):
    def argv(self, connections):
        path = os.path.join(self.work, "nginx.conf")
        # 768 is Debian's default; one of the workers may get nearly all connections.
        with open(path, "w") as file:
            file.write(f"""
daemon off;
worker_processes 2;
worker_rlimit_nofile {max(1024, connections + 512)};
pid nginx.pid;
error_log stderr;
events {{ worker_connections {max(768, connections + 256)}; }}
http {{
    access_log off;
    client_header_timeout 10s;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{self.port};
        location = /web {{ default_type text/plain; return 200 "OK"; }}
        location / {{ return 404; }}
    }}
}}
""")
        return [shutil.which("nginx"), "-p", self.work, "-e", "stderr", "-c", path]


class Backend:
    """What the component `web` asks: accepts and closes."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            with contextlib.suppress(OSError):
                self.listener.accept()[0].close()


class BlackHole:
    """A port that swallows SYNs: the queue of its listener is full and nobody ever accepts."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.port = self.listener.getsockname()[1]
        self.fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
            self.fillers.append(filler)
        time.sleep(0.1)

    def hangs(self):
        # Longer than 1 s, after which the first SYN is sent again.
        try:
            socket.create_connection(("127.0.0.1", self.port), 1.5).close()
        except socket.timeout:
            return True
        except OSError:
            pass
        return False

    def close(self):
        for s in (self.listener, *self.fillers):
            s.close()
