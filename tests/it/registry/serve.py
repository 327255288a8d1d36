"""A schema registry's answers as they were recorded, served: `serve.py [port]` prints its port and counts what it is asked.

A schema that is put to /api/schemas/ids/N is given for that id. One that is posted under a subject gets an id from 100 on; a field that
the subject's newest schema does not have needs a default. The subject `secret` is only for user:pass.

Ids: 1 a schema; 2 a schema of another kind; 3 no JSON; 4 an error of the registry twice, then a schema; 5 only for user:pass;
6 is never answered; 7 answers without end; others are not there.
"""

import base64
import http.server
import json
import sys
import threading

SCHEMA = json.dumps({"type": "record", "name": "Sale", "fields": [{"name": "id", "type": "int"}]})
asked = {}
told = {}
subjects = {}


class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *words):
        pass

    def answer(self, status, body):
        body = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/asked":
            return self.answer(200, json.dumps(asked))
        asked[self.path] = asked.get(self.path, 0) + 1
        number = self.path.rsplit("/", 1)[-1]
        if number in told:
            return self.answer(200, json.dumps({"schema": told[number]}))
        if not self.path.startswith("/api/schemas/ids/"):
            return self.answer(404, '{"error_code":404,"message":"HTTP 404 Not Found"}')
        if number == "2":
            return self.answer(200, json.dumps({"schemaType": "PROTOBUF", "schema": "syntax = \"proto3\";"}))
        if number == "3":
            return self.answer(200, "<html>")
        if number == "4" and asked[self.path] < 3:
            return self.answer(503, '{"error_code":50003,"message":"Error while forwarding the request to the primary"}')
        if number == "5":
            expected = "Basic " + base64.b64encode(b"user:pass").decode()
            if self.headers.get("Authorization") != expected:
                return self.answer(401, '{"error_code":401,"message":"Unauthorized"}')
        if number == "6":
            return threading.Event().wait()
        if number == "7":
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b" " * 65536)
            except OSError:
                return
        if number in "145":
            return self.answer(200, json.dumps({"schema": SCHEMA}))
        return self.answer(404, '{"error_code":40403,"message":"Schema %s not found"}' % number)

    def do_POST(self):
        asked[self.path] = asked.get(self.path, 0) + 1
        schema = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["schema"]
        parts = self.path.split("/")[2:]
        if not self.path.startswith("/api/subjects/"):
            return self.answer(404, '{"error_code":404,"message":"HTTP 404 Not Found"}')
        expected = "Basic " + base64.b64encode(b"user:pass").decode()
        if parts[1] == "secret" and self.headers.get("Authorization") != expected:
            return self.answer(403, '{"error_code":40301,"message":"User is denied operation Write"}')
        versions = subjects.setdefault(parts[1], [])
        if schema in versions or parts[2:] == ["versions"]:
            before = {field["name"] for field in json.loads(versions[-1])["fields"]} if versions else None
            for field in json.loads(schema)["fields"]:
                if before is not None and field["name"] not in before and "default" not in field:
                    why = "READER_FIELD_MISSING_DEFAULT_VALUE: %s" % field["name"]
                    return self.answer(409, json.dumps({"error_code": 409, "message": why}))
            if schema not in versions:
                versions.append(schema)
            ids = [number for number, known in told.items() if known == schema]
            number = ids[0] if ids else str(100 + len(told))
            told[number] = schema
            return self.answer(200, json.dumps({"id": int(number)}))
        return self.answer(404, '{"error_code":40403,"message":"Schema not found"}')

    def do_PUT(self):
        length = int(self.headers["Content-Length"])
        told[self.path.rsplit("/", 1)[-1]] = self.rfile.read(length).decode()
        self.answer(200, "{}")


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 0), Answers)
server.daemon_threads = True
print(server.server_address[1], flush=True)
server.serve_forever()
sys.exit(1)
