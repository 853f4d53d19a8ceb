-- Subscriptions whose place the log keeps, under a name.

create table subscriptions (
    name           text primary key not null,
    id             blob not null default (randomblob(16)),
    position       integer not null,
    event_id       blob,
    event_position integer not null,
    incarnation    blob not null,
    updated_at     integer not null
) strict, without rowid;

create view all_subscriptions as
select name,
       position,
       strftime('%Y-%m-%dT%H:%M:%S', updated_at / 1000000 - (updated_at % 1000000 < 0), 'unixepoch') ||
           printf('.%06dZ', (updated_at % 1000000 + 1000000) % 1000000) as updated_at
from subscriptions;
