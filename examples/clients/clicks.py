"""A producer and a consumer of a Headwater log: `clicks.py produce 100` appends so many clicks, and
`clicks.py consume letters` prints them from where `letters` stands, until none comes for 2 s."""
import json, os, sys, time, urllib.error, urllib.request, uuid

URL, TOKEN = os.environ.get("HEADWATER_URL", "http://127.0.0.1:8080"), os.environ.get("HEADWATER_TOKEN")

def call(method, path, body=None, **headers):
    headers["Content-Type"] = "application/json"
    if TOKEN:
        headers["Authorization"] = f"Bearer {TOKEN}"
    data = None if body is None else json.dumps(body).encode()
    while True:
        try:
            request = urllib.request.Request(URL + path, data, headers, method=method)
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer), answer.headers["ETag"]
        except urllib.error.HTTPError as refused:
            if refused.code not in (429, 503):
                sys.exit(refused.read().decode())
        except OSError:
            pass  # the service is away: the same is sent again, and the ids make it count once
        time.sleep(0.2)

def produce(count):
    visit = f"session-{uuid.uuid4()}"
    for n in range(count):
        click = {"type": "button.clicked", "event_id": str(uuid.uuid4()), "data": {"n": n}}
        call("POST", f"/streams/{visit}", click)

def consume(name):
    call("PUT", f"/consumers/{name}", {"from": "beginning"})
    while True:
        page, epoch = call("GET", f"/consumers/{name}/events?limit=10&wait=2")
        if not page["events"]:
            break
        for event in page["events"]:
            print(event["stream"], event["version"], event["type"], event["data"]["n"], flush=True)
        call("POST", f"/consumers/{name}/ack", {"position": page["position"]}, **{"If-Match": epoch})

produce(int(sys.argv[2])) if sys.argv[1] == "produce" else consume(sys.argv[2])
