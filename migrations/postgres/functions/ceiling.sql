-- One look at the readable ceiling: the way in which CREATE INDEX CONCURRENTLY waits for older writers.
--
-- Everything at or below the highest visible position is settled as soon as every transaction that
-- held the insert's table lock at a moment after it was read is gone: later ones draw above it. The
-- highest *visible* position and not the sequence's last value: a position drawn by an append that
-- was not committed may be drawn again after a crash of the server, one that was committed never is.
--
-- Two statements, each with a snapshot of its own (volatile, READ COMMITTED), in this order.
-- The caller hands in what an earlier look left open: a candidate, and the writers it waits for.
create or replace function {schema}.ceiling(
    p_candidate  bigint,
    p_writers    text[],
    out settled   bigint,       -- null where nothing is newly settled
    out candidate bigint,
    out writers   text[]
)
language plpgsql volatile as $$
declare
    v_highest bigint;
    v_writers text[];
begin
    -- A standby does not show the locks of the primary's writers.
    if pg_is_in_recovery() then
        raise exception 'a standby cannot tell which events are settled: read the log on the primary'
            using errcode = 'read_only_sql_transaction';
    end if;

    select coalesce(max(e.position), 0) into v_highest from {schema}.events e;

    select coalesce(array_agg(l.virtualtransaction), '{}')
    into v_writers
    from pg_locks l
    where l.locktype = 'relation'
      and l.database = (select d.oid from pg_database d where d.datname = current_database())
      and l.relation = '{schema}.events'::regclass
      and l.mode = 'RowExclusiveLock'
      and l.granted;

    if v_writers = '{}' then
        settled := v_highest;
    elsif p_candidate is null or not (p_writers && v_writers) then
        settled := p_candidate;
        candidate := v_highest;
        writers := v_writers;
    else
        candidate := p_candidate;
        writers := array(select unnest(p_writers) intersect select unnest(v_writers));
    end if;
end
$$;
