-- How often an operator had a generation leave events out, so that its status shows what a read model may lack.

alter table {schema}.checkpoints add column skips bigint not null default 0;

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
       error_code,
       skips
from {schema}.checkpoints;
