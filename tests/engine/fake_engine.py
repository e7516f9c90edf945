"""An engine that is told how to behave; it imports nothing, so it starts at once.

Each request's ``script`` is a list of steps: ``say TEXT`` (progress), ``garbage``, ``log TEXT``,
``sleep S``, ``wait`` (for the cancel message), ``deaf`` (hang for good), ``child`` (leave a child
behind that holds the pipes), ``die N`` (exit code), ``kill N`` (signal), ``error TEXT``,
``result TEXT``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time


def say(job_id: int, event: str, **fields: object) -> None:
    sys.stdout.write(json.dumps({"id": job_id, "event": event, **fields}) + "\n")
    sys.stdout.flush()


def play(job_id: int, step: str, rest: str) -> bool:
    """Do a step; say whether the job is over."""
    if step == "say":
        say(job_id, "progress", stage=rest, done=1, total=2, eta_s=None)
    elif step == "garbage":
        sys.stdout.buffer.write(b'\xff\xfe\x00 not json\n{"id": 1}\n\n{"id": 1, "event": \xff}\n')
        sys.stdout.buffer.flush()
        say(job_id + 1000, "result", value="of another job")
    elif step == "log":
        sys.stderr.write(rest + "\n")
        sys.stderr.flush()
    elif step == "sleep":
        time.sleep(float(rest))
    elif step == "wait":
        while json.loads(sys.stdin.readline()).get("cancel") != job_id:
            pass
        say(job_id, "cancelled")
        return True
    elif step == "deaf":
        time.sleep(1000)
    elif step == "child":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
        say(job_id, "progress", stage=str(child.pid), done=1, total=2, eta_s=None)
    elif step == "die":
        os._exit(int(rest))
    elif step == "kill":
        os.kill(os.getpid(), int(rest))
    elif step == "error":
        say(job_id, "error", message=rest, details="Traceback: here")
        return True
    elif step == "result":
        say(job_id, "result", value={"$": "tuple", "items": [rest, os.getpid()]})
        return True
    return False


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        if "cancel" in order:
            continue
        for step in order["params"]["script"]["items"]:
            name, _, rest = step.partition(" ")
            if play(order["id"], name, rest):
                break


if __name__ == "__main__":
    main()
