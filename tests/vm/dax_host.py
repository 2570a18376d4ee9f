# SPDX-License-Identifier: BSD-3-Clause
"""dax_host.py SHARE DAXTOOL: the other side of dax_cases.py, until it is killed.

Runs daxtool as the guest asks for in SHARE/ask/N.ask, all at once, and answers in N.answer with status and output.
"""

import json
import os
import subprocess
import sys
import time


def begin(share, tool, name):
    with open(f"{share}/ask/{name}.ask", encoding="utf-8") as file:
        order = json.load(file)
    os.unlink(f"{share}/ask/{name}.ask")
    return subprocess.Popen([tool, *order["arguments"]], cwd=f"{share}/{order['folder']}", stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(share, name, process):
    text = process.communicate()[0]
    with open(f"{share}/ask/{name}.new", "w", encoding="utf-8") as file:
        json.dump([process.returncode, text.strip()], file)
    os.rename(f"{share}/ask/{name}.new", f"{share}/ask/{name}.answer")


def main():
    share, tool = sys.argv[1:]
    os.makedirs(f"{share}/ask", exist_ok=True)
    running = {}
    while True:
        for name in os.listdir(f"{share}/ask"):
            if name.endswith(".ask"):
                running[name[:-4]] = begin(share, tool, name[:-4])
        for name in [name for name, process in running.items() if process.poll() is not None]:
            finish(share, name, running.pop(name))
        time.sleep(0.02)


if __name__ == "__main__":
    main()
