# Keeps one PostgreSQL server for a test process, and removes it when that process has ended.
#
# Standard input is a pipe from the test process: end of file means that it is gone, in whatever way,
# also by SIGKILL. Arguments: the directory of the binaries, the server's own directory, the port.
# Commands, one a line: "kill" ends all of the server's processes at once, "start" starts it again.
binaries=$1 directory=$2 port=$3
server=

# The server must not hold our pipe from or to the test process.
start() {
    "$binaries/postgres" -D "$directory/data" -p "$port" \
        -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=200 \
        </dev/null >>"$directory/log" 2>&1 &
    server=$!
}

remove() {
    if [ -n "$server" ]; then
        kill -QUIT "$server" 2>/dev/null
        wait "$server" 2>/dev/null
    fi
    rm -rf "$directory"
}

if ! "$binaries/initdb" -D "$directory/data" -U postgres --pwfile="$directory/password" \
    --auth=scram-sha-256 --encoding=UTF8 --locale=C --no-instructions --no-sync \
    </dev/null >"$directory/log" 2>&1; then
    echo "failed: initdb: $(tail -n 3 "$directory/log" | tr '\n' ' ')"
    remove
    exit 1
fi
rm -f "$directory/password"
start
echo started

while read -r command; do
    case $command in
    kill)
        # Stopped first, so that it forks no further child while they are being listed.
        kill -STOP "$server"
        children=$(ps -A -o pid= -o ppid= | awk -v parent="$server" '$2 == parent { print $1 }')
        kill -KILL "$server" $children 2>/dev/null
        wait "$server" 2>/dev/null
        # The server does not start beside one of its old processes.
        while ps -o stat= -p "$(echo $children)" 2>/dev/null | grep -q '^[^Z]'; do sleep 0.01; done
        echo killed
        ;;
    start)
        start
        echo started
        ;;
    log)
        echo "$(tail -n 3 "$directory/log" | tr '\n' ' ')"
        ;;
    esac
done
remove
