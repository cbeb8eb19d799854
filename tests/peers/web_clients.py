"""HTTP clients on fastsock: CLIENT BASE-URL [CA-FILE]. Prints JSON.

Each makes three requests on one connection, uploads 20 MB from a stream and
downloads as much to one.
"""

import hashlib
import io
import json
import ssl
import sys
import urllib.parse

import fastsock

name, base, *authority = sys.argv[1:]
SIZE = 20_000_000
upload = bytes(range(256)) * (SIZE // 256)
result = {"upload_expected": f"{len(upload)} {hashlib.sha256(upload).hexdigest()}"}


def pieces():
    for start in range(0, len(upload), 1_000_000):
        yield upload[start:start + 1_000_000]


def check_class(sock):
    assert isinstance(sock, fastsock.socket), type(sock)
    assert isinstance(sock, ssl.SSLSocket) is bool(authority), type(sock)


def digest_of(read):
    digest, size = hashlib.sha256(), 0
    while piece := read(1 << 16):
        digest.update(piece)
        size += len(piece)
    return f"{size} {digest.hexdigest()}"


def use_requests():
    import requests
    with requests.Session() as session:
        session.trust_env = False
        session.verify = authority[0] if authority else True
        with session.get(f"{base}/bytes/100000", stream=True) as response:
            check_class(response.raw._connection.sock)
            first = response.headers["X-Client-Port"]
            response.content
        result["ports"] = [first, *(session.get(base).headers["X-Client-Port"]
                                    for _ in range(2))]
        result["upload"] = session.put(base, data=io.BytesIO(upload)).text
        result["chunked"] = session.post(base, data=pieces()).text
        with session.get(f"{base}/bytes/{SIZE}", stream=True) as response:
            result["download"] = digest_of(response.raw.read)


def use_urllib3():
    import urllib3
    keywords = {"ca_certs": authority[0]} if authority else {}
    with urllib3.PoolManager(maxsize=1, retries=False, timeout=20, **keywords) as manager:
        response = manager.request("GET", f"{base}/bytes/100000", preload_content=False)
        check_class(response.connection.sock)
        first = response.headers["X-Client-Port"]
        response.read()
        response.release_conn()
        result["ports"] = [first, *(manager.request("GET", base).headers["X-Client-Port"]
                                    for _ in range(2))]
        result["upload"] = manager.request(
            "PUT", base, body=io.BytesIO(upload),
            headers={"Content-Length": str(len(upload))}).data.decode()
        result["chunked"] = manager.request(
            "POST", base, body=pieces(), chunked=True).data.decode()
        response = manager.request("GET", f"{base}/bytes/{SIZE}", preload_content=False)
        result["download"] = digest_of(response.read)
        response.release_conn()


def use_http_client():
    import http.client
    where = urllib.parse.urlsplit(base)
    if authority:
        connection = http.client.HTTPSConnection(
            where.hostname, where.port, timeout=20,
            context=ssl.create_default_context(cafile=authority[0]))
    else:
        connection = http.client.HTTPConnection(where.hostname, where.port, timeout=20)

    def request(method, path, **keywords):
        connection.request(method, path, **keywords)
        check_class(connection.sock)
        return connection.getresponse()

    def ask(method, path, **keywords):
        with request(method, path, **keywords) as response:
            return response.headers["X-Client-Port"], response.read().decode()

    result["ports"] = [ask("GET", "/")[0] for _ in range(3)]
    result["upload"] = ask("PUT", "/", body=io.BytesIO(upload),
                           headers={"Content-Length": str(len(upload))})[1]
    result["chunked"] = ask("POST", "/", body=pieces(), encode_chunked=True,
                            headers={"Transfer-Encoding": "chunked"})[1]
    with request("GET", f"/bytes/{SIZE}") as response:
        result["download"] = digest_of(response.read)
    connection.close()


def use_urllib_request():
    import urllib.request
    context = ssl.create_default_context(cafile=authority[0]) if authority else None
    # It opens a connection a request, and would ask a proxy if told of one.
    handlers = [urllib.request.ProxyHandler({})]
    if context:
        handlers.append(urllib.request.HTTPSHandler(context=context))
    opener = urllib.request.build_opener(*handlers)
    with opener.open(base, timeout=20) as response:
        check_class(response.fp.raw._sock)
    request = urllib.request.Request(base, data=io.BytesIO(upload), method="PUT",
                                     headers={"Content-Length": str(len(upload))})
    with opener.open(request, timeout=20) as response:
        result["upload"] = response.read().decode()
    with opener.open(f"{base}/bytes/{SIZE}", timeout=20) as response:
        result["download"] = digest_of(response.read)


{"requests": use_requests, "urllib3": use_urllib3, "http.client": use_http_client,
 "urllib.request": use_urllib_request}[name]()
print(json.dumps(result))
