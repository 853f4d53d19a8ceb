-- A generation that is built to be compared with the one in service is none that could come into service.

alter table {schema}.checkpoints
    drop constraint checkpoints_state_check,
    add constraint checkpoints_state_check check (state in ('building', 'live', 'retired', 'verifying'));

create unique index checkpoints_one_verifying on {schema}.checkpoints (projection) where state = 'verifying';

alter table {schema}.leases
    drop constraint leases_work_check,
    add constraint leases_work_check check (work in ('building', 'live', 'verifying'));
