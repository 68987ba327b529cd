"""What a whole daemon costs: many components, how soon a failure is answered, how large it is."""

import os
import random
import re
import select
import shutil
import signal
import socket
import statistics
import subprocess
import threading
import time

from servers import (CannotRun, Failover, Haproxy, ServerEnded, ask, descriptors, end,
                     free_port, say, start, started, table)

# The gates: what the manual promises of a thousand components, each asked every second.
GATED_COMPONENTS = 1000
COUNTS = (100, 1000, 4000)
PORTS = 16
LATE_P99_US_MAX = 1000
CORE_PERCENT_MAX = 6.0
CORE_RATIO_MAX = 1.5
DETECTION_RATIO_MAX = 1.05
POLL_SECONDS = 0.002
KERNEL_STACK_KIB = 16
MEMORY_KIB_MAX = {
    "musl": {"thousand": 12 * 1024, "ten": 1600},
    # Its threads and its start take more; only what grows is to be noticed.
    "glibc": {"thousand": 20 * 1024, "ten": 4096},
}
BINARY_BYTES_MAX = {"musl": 1_000_000, "glibc": 1_843_200}  # As in tests/static.sh.


def address_of(component):
    """As in services.h."""
    return f"127.16.{component // 250}.{component % 250 + 1}"


class Watching(Failover):
    """A daemon with many components, which ask `targets`."""

    def __init__(self, work, count, port_of):
        super().__init__("watching", work)
        lines = []
        for i in range(count):
            lines += [f"component c{i}", f"    tcp {address_of(i)}:{port_of(i)}", "    every 1s",
                      "    timeout 1s"]
        self.more = "\n".join(lines) + "\n"

    def metric(self, name):
        """The sum over all components."""
        page = (ask(self.port, "/metrics", timeout=10) or b"").decode()
        values = re.findall(rf"^{name}(?:{{[^\n]*}})? (\d+)$", page, re.MULTILINE)
        if not values:
            raise ServerEnded(self)
        return sum(map(int, values))


class Targets:
    """The program `targets`: services that note when they are asked."""

    def __init__(self, work, count, seconds):
        self.ports = [free_port() for _ in range(PORTS)]
        argv = [os.path.join(work, "targets"), ",".join(map(str, self.ports)),
                "--components", str(count), "--seconds", str(seconds)]
        with descriptors(count + 100):
            self.process = start(argv, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            raise CannotRun("targets did not get ready")

    def begin(self):
        self.process.send_signal(signal.SIGUSR1)

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        line = self.process.communicate(timeout=20)[0]
        started.remove(self.process)
        return {k: int(v) for k, v in (pair.split("=") for pair in line.split())}


class Deciding(Failover):
    """A daemon that decides about one service."""

    def __init__(self, work, backend):
        super().__init__("deciding", work)
        self.more = f"""component watched
    tcp 127.0.0.1:{backend}
    every 1s fast 200ms
    timeout 1s
    fail-after 3
    ok-after 2
"""

    path = "/watched"


class DecidingHaproxy(Haproxy):
    """HAProxy that decides about one service, and says so where failover would.

    Its plain check resets the connection before the service sees it; one byte that it sends makes
    it visible, so that the closings can be timed by its probes.
    """

    def __init__(self, work, backend):
        super().__init__("haproxy-deciding", work)
        self.backend = backend

    path = "/web"

    def argv(self, connections):
        path = os.path.join(self.work, "deciding.cfg")
        with open(path, "w") as file:
            file.write(f"""
global
    nbthread 2
defaults
    mode http
    timeout client 10s
    timeout connect 1s
    timeout server 10s
    timeout check 1s
frontend health
    bind 127.0.0.1:{self.port}
    monitor-uri /web
    monitor fail if {{ nbsrv(watched) lt 1 }}
backend watched
    option tcp-check
    tcp-check connect
    tcp-check send .
    server one 127.0.0.1:{self.backend} check inter 1s fastinter 200ms fall 3 rise 2
""")
        return [shutil.which("haproxy"), "-f", path, "-db"]

    def start(self, **options):
        # It says 200 to begin with; what matters is that it answers.
        self.launch(**options)
        give_up = time.monotonic() + 10
        while not ask(self.port):
            if time.monotonic() > give_up or self.process.poll() is not None:
                raise ServerEnded(self)
            time.sleep(0.01)


class Trials:
    """Closes the service that a server watches, again and again, and waits for its 503.

    The closings are spread evenly over the second between two probes, the same for everybody: how
    long a failure takes to be noticed depends on that phase more than on anything else.
    """

    PATIENCE = 10.0

    def __init__(self, kind, work, phases):
        self.port = free_port()
        self.listener = self.listen()
        self.server = kind(work, self.port)
        self.phases = phases
        self.took, self.problem = [], None
        self.thread = threading.Thread(target=self.run, daemon=True)

    def listen(self):
        return socket.create_server(("127.0.0.1", self.port), backlog=16)

    def status(self):
        answer = ask(self.server.port, self.server.path)
        return int(answer.split()[1]) if answer else 0

    def serve(self, until):
        """Accepts until then; when the last probe came, None if there was none."""
        last = None
        while (left := until - time.monotonic()) > 0:
            if select.select([self.listener], [], [], left)[0]:
                last = time.monotonic()
                self.listener.accept()[0].close()
        return last

    def one(self, phase):
        give_up = time.monotonic() + self.PATIENCE
        while self.status() != 200:
            self.serve(time.monotonic() + 0.05)
            self.patient(give_up)
        # Its usual pace is back when two probes are a second apart.
        before = self.serve(time.monotonic() + 1.1)
        while not (last := self.serve(time.monotonic() + 0.02)) or (
                before and last - before < 0.9):
            before = last or before
            self.patient(give_up)
        self.serve(last + phase)
        self.listener.close()
        closed = time.monotonic()
        give_up = closed + self.PATIENCE
        while self.status() != 503:
            self.patient(give_up)
            time.sleep(POLL_SECONDS)
        self.took.append(time.monotonic() - closed)
        self.listener = self.listen()

    def patient(self, give_up):
        if time.monotonic() > give_up:
            raise ServerEnded(self.server)

    def run(self):
        try:
            # Whoever starts it serves it: failover answers 200 only when its first probe passed.
            starting = threading.Thread(target=self.server.start, daemon=True)
            starting.start()
            while starting.is_alive():
                self.serve(time.monotonic() + 0.05)
            for phase in self.phases:
                self.one(phase)
        except (ServerEnded, OSError) as why:
            self.problem = why
        finally:
            self.server.stop()
            self.listener.close()


class DaemonSections:
    """Sections of the benchmark; `self` is the Bench of `run`."""

    def scale(self):
        seconds = 10 if self.args.quick else 30
        rows = []
        for count in COUNTS:
            if self.args.quick and count > GATED_COMPONENTS:
                continue
            say(f"{count} components, {seconds} s")
            try:
                rows.append(self.watch(count, seconds))
            except ServerEnded as why:
                self.ended(f"{count} components", why)
        table(f"Components that are asked every second over {PORTS} ports, for {seconds} s",
              ["components", "probes", "late us: p50", "p99", "p99.9", "max", "skipped",
               "unseen, or twice", "firsts: spread ms", "most in 10 ms", "% of a core",
               "the limit's", "VmRSS KiB", "threads", "kernel stacks KiB",
               "idle thread late us: p99"], rows)

    def watch(self, count, seconds):
        settle = 4.0 + count / 1000
        limit = [self.limit_of(count, seconds / 2)]
        targets = Targets(self.work, count, settle + seconds + 60)
        server = Watching(self.work, count, lambda i: targets.ports[i % PORTS])
        try:
            server.start(files=count + 1000)
            time.sleep(settle)
            targets.begin()
            before, begun = server.cpu_seconds(), time.monotonic()
            time.sleep(seconds)
            cpu = (server.cpu_seconds() - before) / (time.monotonic() - begun) * 100
            rss, threads = server.memory()
            seen = targets.end()
            skipped = server.metric("failover_check_skipped_total")
        finally:
            server.stop()
            end(targets.process)
        limit = (limit[0] + self.limit_of(count, seconds / 2)) / 2
        missing = count - seen["asked"] + seen["missed"] + seen["doubled"]
        if count == GATED_COMPONENTS:
            self.gate_watch(seen, skipped + missing, cpu, limit, rss)
        return [f"{count:,}", f"{seen['probes']:,}", seen["p50_us"], seen["p99_us"],
                seen["p999_us"], seen["max_us"], skipped, missing, f"{seen['first_ms']:,}",
                seen["burst"], f"{cpu:.1f}", f"{limit:.1f}", f"{rss:,}", threads,
                f"{threads * KERNEL_STACK_KIB:,}", seen["noise_p99_us"]]

    def limit_of(self, count, seconds):
        """What part of a core, in percent, the fewest system calls take that can ask as many."""
        targets = Targets(self.work, count, seconds + 60)
        try:
            done = subprocess.run([os.path.join(self.work, "asker"),
                                   ",".join(map(str, targets.ports)), "--components", str(count),
                                   "--seconds", str(seconds)],
                                  capture_output=True, text=True, timeout=seconds + 30)
        finally:
            end(targets.process)
        if done.returncode:
            raise CannotRun(f"asker ended with {done.returncode}: {done.stderr}")
        return int(done.stdout.rpartition("=")[2]) / 10

    def gate_watch(self, seen, skipped, cpu, limit_cpu, rss):
        what = f"{GATED_COMPONENTS:,} components"
        late = seen["p99_us"]
        # What is beside it tells whether anybody could have been more punctual, or cheaper, here.
        self.gate(f"{what}: p99 lateness of starts",
                  f"{late} us (an idle thread: {seen['noise_p99_us']} us)",
                  f"< {LATE_P99_US_MAX} us", late < LATE_P99_US_MAX)
        self.gate(f"{what}: starts skipped or not seen", skipped, "0", skipped == 0)
        self.gate(f"{what}: of a core", f"{cpu:.1f} % (the limit: {limit_cpu:.1f} %)",
                  f"<= {CORE_PERCENT_MAX} %", cpu <= CORE_PERCENT_MAX)
        ratio = cpu / max(0.1, limit_cpu)
        self.gate(f"{what}: of a core, ratio to the limit", f"{ratio:.2f}",
                  f"<= {CORE_RATIO_MAX}", ratio <= CORE_RATIO_MAX)
        most = MEMORY_KIB_MAX[self.args.libc]["thousand"]
        self.gate(f"{what}: resident ({self.args.libc})", f"{rss:,} KiB", f"< {most:,} KiB",
                  rss < most)

    def detection(self):
        what = "detection, ratio to HAProxy"
        limit = f"<= {DETECTION_RATIO_MAX}"
        count = 10 if self.args.quick else 50
        if not shutil.which("haproxy"):
            self.skip("detection", "haproxy is not installed")
            self.gate(what, "haproxy is not installed", limit, None)
            return
        say(f"detection, {count} trials, {count * 4} s")
        phases = [(i + 0.5) / count for i in range(count)]
        random.shuffle(phases)
        # Side by side, so that what the machine does meanwhile meets both.
        own, other = (Trials(kind, self.work, phases) for kind in (Deciding, DecidingHaproxy))
        for trials in (own, other):
            trials.thread.start()
        for trials in (own, other):
            trials.thread.join()
            if isinstance(trials.problem, ServerEnded):
                raise trials.problem
            if trials.problem:
                raise CannotRun(str(trials.problem))
        rows = []
        for name, trials in (("failover `every 1s fast 200ms fail-after 3`", own),
                             ("HAProxy `inter 1s fastinter 200ms fall 3`", other)):
            ms = sorted(took * 1000 for took in trials.took)
            rows.append([name, f"{statistics.median(ms):.0f}", f"{statistics.mean(ms):.0f}",
                         f"{ms[0]:.0f}", f"{ms[-1]:.0f}"])
        table(f"From the close of a listener to the first 503 in ms, {count} trials each, the "
              "closings spread evenly between two probes",
              ["who", "median", "mean", "min", "max"], rows)
        ratio = statistics.median(own.took) / statistics.median(other.took)
        self.gate(what, f"{ratio:.3f}", limit, ratio <= DETECTION_RATIO_MAX)

    def size(self):
        say("size")
        libc, binary = self.args.libc, self.args.binary
        size = os.path.getsize(binary)
        targets = Targets(self.work, 10, 60)
        server = Watching(self.work, 10, lambda i: targets.ports[i % PORTS])
        try:
            server.start()
            time.sleep(5)  # Every one of them has been asked more than once.
            rss, threads = server.memory()
        finally:
            server.stop()
            end(targets.process)
        table("Size", ["program, bytes", "ten components: VmRSS KiB", "threads"],
              [[f"{size:,}", f"{rss:,}", threads]])
        most = BINARY_BYTES_MAX[libc]
        self.gate(f"size of the program ({libc})", f"{size:,} bytes", f"< {most:,} bytes",
                  size < most)
        most = MEMORY_KIB_MAX[libc]["ten"]
        self.gate(f"ten components: resident ({libc})", f"{rss:,} KiB", f"< {most:,} KiB",
                  rss < most)
