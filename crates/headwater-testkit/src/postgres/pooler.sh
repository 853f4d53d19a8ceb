# Keeps one PgBouncer for a test process, and removes it when that process has ended.
#
# Standard input is a pipe from the test process: end of file means that it is gone, in whatever way.
# Arguments: the pooler's own directory.
directory=$1

# The pooler must not hold our pipe from or to the test process.
pgbouncer "$directory/pgbouncer.ini" </dev/null >>"$directory/log" 2>&1 &
pooler=$!
echo started

while read -r command; do
    case $command in
    log)
        echo "$(tail -n 3 "$directory/log" | tr '\n' ' ')"
        ;;
    esac
done
# Not by a softer signal: which one ends it at once depends on its version.
kill -KILL "$pooler" 2>/dev/null
wait "$pooler" 2>/dev/null
rm -rf "$directory"
