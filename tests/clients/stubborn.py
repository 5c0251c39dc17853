"""Sends 50 MiB and reads nothing before all of it has been taken; prints the status of the answer."""

import http.client
import ssl
import sys

port, path, framing, authority = sys.argv[1:]
pieces, piece = 800, b"x" * 65536
context = ssl.create_default_context(cafile=authority)
client = http.client.HTTPSConnection("localhost", int(port), context=context, timeout=60)
headers = {"content-length": str(pieces * len(piece))} if framing == "length" else {}
body = (piece for _ in range(pieces))
client.request("POST", path, body=body, headers=headers, encode_chunked=framing == "chunked")
answer = client.getresponse()
print(answer.status, len(answer.read()) > 0)
