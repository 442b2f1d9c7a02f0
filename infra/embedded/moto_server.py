"""moto as a process of its own: S3, Glue and Firehose's control plane. `python -m infra.embedded.moto_server`."""

import json
import logging
import os
import sys
import threading

ACCOUNT = "000000000000"

# Both are read when moto is imported: objects stay in memory, and account ids are those of the scenarios.
os.environ["MOTO_ACCOUNT_ID"] = ACCOUNT
os.environ["MOTO_S3_DEFAULT_KEY_BUFFER_SIZE"] = str(256 * 1024 * 1024)


def main() -> None:
    """Serves on a free port of loopback until standard input closes; says where in one line of JSON."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    WSGIRequestHandler.protocol_version = "HTTP/1.1"  # keep-alive
    server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
    sys.stdout.write(json.dumps({"endpoint": f"http://127.0.0.1:{server.server_port}"}) + "\n")
    sys.stdout.flush()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
