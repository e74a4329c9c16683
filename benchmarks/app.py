"""The page's server under load: 10,000 requests from 50 clients at once, with garbage between them.

    python benchmarks/app.py

Each client keeps a connection open and asks for the files of the page and of the demo's model in turn; each answer must
be the file, to the last byte. Every tenth request is one that must be refused. The server is a process of its own,
which `linear-diffusion app` starts; its memory is read before the load and after each half of it.
"""

import http.client
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import urlopen

from common import arguments, report
from linear_diffusion import LinearDiffusion, load_images
from linear_diffusion.apps.web.page import CONFIG, WEIGHTS, static_files

N_REQUESTS, N_CLIENTS = 10_000, 50
REFUSED = (
    ("GET", "/../server.py", None, 404),
    ("GET", "/%2e%2e%2fserver.py", None, 404),
    ("GET", "/" + "x" * 5000, None, 404),
    ("POST", "/", b"{}", 405),
    ("GET", "/", b"x" * 20_000, 413),
)
"""What is asked for that there is not, and how it is refused."""


def resident(process):
    """MB that a process holds."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())[1]) / 1024


def fetched(address):
    """The whole answer."""
    with urlopen(address) as answer:
        return answer.read()


def client(host, contents, start, n):
    """Seconds of each request, and how many were answered otherwise than they should be."""
    connection, seconds, wrong = http.client.HTTPConnection(host, timeout=60), [], 0
    paths = list(contents)
    for i in range(start, start + n):
        odd = i % 10 == 9
        method, path, body, status = REFUSED[i // 10 % 5] if odd else ("GET", paths[i % len(paths)], None, 200)
        begin = time.perf_counter()
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            content = answer.read()
            wrong += answer.status != status or (not odd and content != contents[path])
        except (OSError, http.client.HTTPException):
            wrong += 1
            connection.close()
        seconds.append(time.perf_counter() - begin)
    connection.close()
    return seconds, wrong


def load(host, contents, n, first=0):
    """Requests of all clients at once: seconds of each, how many went wrong, and seconds of all together."""
    each = n // N_CLIENTS
    begin = time.perf_counter()
    with ThreadPoolExecutor(N_CLIENTS) as clients:
        found = list(clients.map(lambda i: client(host, contents, first + i * each, each), range(N_CLIENTS)))
    whole = time.perf_counter() - begin
    return sorted(s for seconds, _ in found for s in seconds), sum(wrong for _, wrong in found), whole


def main(_):
    model = LinearDiffusion(random_state=0).fit(*load_images("mnist-5k"))
    with TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        command = [sys.executable, "-m", "linear_diffusion", "app", folder, "--no-browser"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                host = re.search("http://(.*)/ ", server.stdout.readline())[1]
                contents = {f"/{name}": content for name, content in static_files().items()}
                contents |= {f"/model/{name}": fetched(f"http://{host}/model/{name}") for name in (CONFIG, WEIGHTS)}
                load(host, contents, 10 * N_CLIENTS)  # warm
                before = resident(server)
                first, wrong, t1 = load(host, contents, N_REQUESTS // 2)
                between = resident(server)
                second, wrong_2, t2 = load(host, contents, N_REQUESTS // 2, N_REQUESTS // 2)
                after = resident(server)
            finally:
                server.kill()
    seconds = sorted(first + second)
    figures = {
        "requests": len(seconds),
        "wrong": wrong + wrong_2,
        "requests_per_second": len(seconds) / (t1 + t2),
        "median_ms": 1e3 * seconds[len(seconds) // 2],
        "slowest_ms": 1e3 * seconds[-1],
        "memory_mb": [before, between, after],
    }
    rows = [
        ["requests, of which a tenth must be refused", f"{figures['requests']:,}"],
        ["answered otherwise than they should be", str(figures["wrong"])],
        ["requests per second", f"{figures['requests_per_second']:,.0f}"],
        ["median and slowest answer", f"{figures['median_ms']:.0f} and {figures['slowest_ms']:.0f} ms"],
        ["server's memory before, half-way and after", ", ".join(f"{m:.1f}" for m in figures["memory_mb"]) + " MB"],
    ]
    note = f"{N_CLIENTS} clients in threads of one process, which takes its share of the time, on the same processor."
    report("app", ["`linear-diffusion app`", ""], rows, figures, note)


if __name__ == "__main__":
    main(arguments(__doc__))
