-- Each transaction that writes an event waits once before its commit.
create function public.slow_commit() returns trigger
language plpgsql as $$
begin
    -- Of all the rows of a transaction the first one waits.
    if current_setting('bench.waited', true) is distinct from txid_current()::text then
        perform set_config('bench.waited', txid_current()::text, true);
        perform pg_sleep(tg_argv[0]::double precision);
    end if;
    return null;
end
$$;

create constraint trigger slow_commit
    after insert on {table}
    deferrable initially deferred
    for each row execute function public.slow_commit('{seconds}');
