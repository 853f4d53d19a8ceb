-- Tells processes that start later what is settled. To lose it is no loss, so nobody waits for the
-- disk; and whatever it says was committed before, so it is never ahead of the events.
create or replace function {schema}.publish_settled(p_position bigint)
returns void
language plpgsql volatile as $$
begin
    perform set_config('synchronous_commit', 'off', true), set_config('lock_timeout', '100ms', true);
    update {schema}.settled s set position = p_position
    where s.position < p_position
      -- Not what was learnt from a server before this one, which had more.
      and p_position <= (select max(e.position) from {schema}.events e);
end
$$;
