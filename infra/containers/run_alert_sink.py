"""Takes what Alertmanager delivers and prints the name of each alert, for `make compose-test` to read."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Sink(BaseHTTPRequestHandler):
    """Answers 200 to every delivery."""

    def do_POST(self) -> None:
        """Print a line for each alert."""
        delivery = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        for alert in delivery["alerts"]:
            print(f"{alert['status']} {alert['labels']['alertname']}", flush=True)  # noqa: T201
        self.send_response(200)
        self.end_headers()


if __name__ == "__main__":
    ThreadingHTTPServer(("0.0.0.0", 8000), Sink).serve_forever()  # noqa: S104 - a container's own network  # nosec B104
