"""het's programs in one build, run against a private hetd: for the demo and for the benchmarks."""
import json
import os
import signal
import subprocess
import time


class ProgramError(Exception):
    """Something the user can act on; its text is the whole message."""


class Programs:
    """het's programs in one build, run against one daemon."""

    def __init__(self, build, directory):
        self.directory = directory
        self.bin = os.path.join(build, "bin")
        self.environment = dict(os.environ, HET_SOCKET=os.path.join(directory, "het.sock"))
        self.daemon = None

    def command(self, name, *arguments):
        return [os.path.join(self.bin, name), *arguments]

    def start_daemon(self, *arguments):
        with open(os.path.join(self.directory, "hetd.log"), "wb") as log:
            self.daemon = subprocess.Popen(
                self.command("hetd", "--runtime-dir", self.directory,
                             "--state-dir", os.path.join(self.directory, "state"), *arguments),
                env=self.environment, stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if self.daemon.poll() is not None:
                break
            answer = subprocess.run(self.command("hetctl", "get", "devices", "-o", "json"), env=self.environment,
                                    capture_output=True, text=True)
            if answer.returncode == 0 and json.loads(answer.stdout)["items"]:
                return
            time.sleep(0.05)
        with open(os.path.join(self.directory, "hetd.log"), encoding="utf-8", errors="replace") as handle:
            raise ProgramError("hetd did not come up; its log says:\n" + handle.read())

    def stop_daemon(self):
        if self.daemon and self.daemon.poll() is None:
            self.daemon.send_signal(signal.SIGTERM)
            try:
                self.daemon.wait(5)
            except subprocess.TimeoutExpired:
                self.daemon.kill()

    def show(self, name, *arguments):
        """Runs a program whose output is for the reader."""
        print("$ " + " ".join([name, *arguments]), flush=True)
        subprocess.run(self.command(name, *arguments), env=self.environment, check=False)

    def json(self, name, *arguments):
        result = subprocess.run(self.command(name, *arguments, "-o", "json"), env=self.environment,
                                capture_output=True, text=True)
        if result.returncode != 0:
            raise ProgramError(f"{name} {arguments[0]} ended with {result.returncode}: {result.stderr.strip()}")
        return json.loads(result.stdout)
