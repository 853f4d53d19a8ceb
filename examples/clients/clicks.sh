#!/bin/sh
# A producer and a consumer of a Headwater log, with curl.
#
# clicks.sh produce 100      appends so many clicks
# clicks.sh consume letters  prints events from where `letters` stands, until none comes for 2 s
set -eu
url=${HEADWATER_URL:-http://127.0.0.1:8080}

# What is sent again after a lost answer counts once, by its event id.
call() {
    curl --silent --show-error --fail-with-body --max-time 60 --retry 10 --retry-all-errors --retry-delay 1 \
        --header 'Content-Type: application/json' ${HEADWATER_TOKEN:+--header "Authorization: Bearer $HEADWATER_TOKEN"} "$@"
}

produce() {
    visit=session-$(cat /proc/sys/kernel/random/uuid) n=0
    while [ "$n" -lt "$1" ]; do
        id=$(cat /proc/sys/kernel/random/uuid)
        call --output /dev/null "$url/streams/$visit" \
            --data "{\"type\":\"button.clicked\",\"event_id\":\"$id\",\"data\":{\"n\":$n}}"
        n=$((n + 1))
    done
}

consume() {
    head=$(mktemp)
    trap 'rm -f "$head"' EXIT
    call --output /dev/null --request PUT "$url/consumers/$1" --data '{"from":"beginning"}'
    while page=$(call --dump-header "$head" "$url/consumers/$1/events?limit=10&wait=2"); do
        case $page in '{"events":[]'*) break ;; esac
        printf '%s\n' "$page"
        position=$(tr -d '\r' <"$head" | sed -n 's/^headwater-position: //p')
        epoch=$(tr -d '\r' <"$head" | sed -n 's/^etag: //p')
        call --output /dev/null "$url/consumers/$1/ack" --header "If-Match: $epoch" --data "{\"position\":$position}"
    done
}

"$1" "$2"
