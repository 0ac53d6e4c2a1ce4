"""Run by test_published.py with the interpreter that has the published client 1.22.0: URLs of services, visited with curl.

It prints one word per thing that worked; the test compares the list.
"""

import os
import subprocess

import cwsandbox
from cwsandbox import Endpoint, Sandbox, Service

SERVE = ["python3", "-m", "http.server", "8000", "--directory", "/usr/share/doc"]
HTTPS = Endpoint(kind="https", auth="open")
TOKEN = Endpoint(kind="https", auth="share_token", request_timeout_seconds=30)


def curl(url, *words):
    """The status, once the program listens. Whether the certificate is right is another test's."""
    command = ["curl", "-sk", "-m", "60", "-o", "/dev/null", "-w", "%{http_code}", *words, url + "/"]
    while (status := subprocess.run(command, capture_output=True, text=True, timeout=90).stdout) == "502":
        pass
    return status


def run(**service):
    return Sandbox.run(*SERVE, services=[Service(port=8000, name="web", **service)])


one = run(visibility="public", endpoint=HTTPS)
((port, name, url),) = one.service_urls
(row,) = one.service_endpoints
assert (port, name, row.url, row.request_timeout_seconds) == (8000, "web", url, 15) and url.startswith("https://8000-")
assert one.exposed_ports == ((8000, "web"),) and one.endpoint_share_token is None
assert curl(url) == "200"
assert Sandbox.from_id(one.sandbox_id).result().service_urls == one.service_urls
print("open")

two = run(visibility="public", endpoint=TOKEN)
((_, _, url),) = two.service_urls
(header,) = two.endpoint_share_token.as_headers().items()
assert curl(url, "-H", ": ".join(header)) == "200" and curl(url) == "401"
assert two.service_endpoints[0].request_timeout_seconds == 30
print("token")

three = run(visibility="private")
((_, _, url),) = three.service_urls
assert curl(url, "-H", f"Authorization: Bearer {os.environ['CWSANDBOX_API_KEY']}") == "200" and curl(url) == "401"
print("private")

(runner,) = cwsandbox.list_runners(service_visibility="public")
assert {str(v).lower().removeprefix("visibility_") for v in runner.supported_service_visibilities} == {"public", "private"}, runner
print("runner")

four = run(visibility="public", endpoint=Endpoint(kind="tls_passthrough"))
(row,) = four.service_addresses
assert row.address.startswith(f"8000-{four.sandbox_id}.") and four.service_urls == ()
print("address")

for sandbox in (one, two, three, four):
    sandbox.stop().result()
    assert sandbox.service_urls == ()
print("after")
