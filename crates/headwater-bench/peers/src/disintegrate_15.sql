-- What disintegrate-postgres 4.0.1 makes, for PostgreSQL 15: its own statements, but for the number in
-- event_store_begin_epoch, which it writes as 0xFFFFFFFF. What comes before them is there already.
select pg_advisory_xact_lock(1);

create or replace function event_store_begin_epoch()
returns void as $$
declare
    id bigint;
    db_id int;
begin
    select last_value into id from seq_event_event_id;
    select oid into db_id from pg_database where datname = current_database();

    perform pg_try_advisory_xact_lock_shared(db_id, 0);
    perform pg_try_advisory_xact_lock_shared(1, (id & 4294967295)::bit(32)::integer);
    perform pg_try_advisory_xact_lock_shared(2, (id >> 32)::bit(32)::integer);
end;
$$ language plpgsql;

alter table event add column if not exists cart_id text;
create index if not exists idx_event_cart_id on event (cart_id) where cart_id is not null;
