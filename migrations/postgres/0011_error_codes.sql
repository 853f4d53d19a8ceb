-- The kind of what has stopped a projection, or set an event aside: the stable code of its error.

alter table {schema}.checkpoints add column error_code text;

alter table {schema}.parked add column error_code text not null default 'unknown';

create or replace view {schema}.all_checkpoints as
select projection,
       generation,
       state,
       position,
       error is not null as failed,
       failed_position,
       failed_event_id,
       error,
       updated_at,
       paused,
       held_back,
       error_code
from {schema}.checkpoints;

create or replace view {schema}.all_parked as
select projection, generation, position, event_id, stream, type, bytes, attempts, error, retry, parked_at, error_code
from {schema}.parked;
