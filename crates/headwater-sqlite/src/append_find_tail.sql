-- The row without a stream bears the last position, by the rule of `autoincrement`: the larger one of
-- what was drawn and what is there.
select null, max(coalesce((select max(seq) from sqlite_sequence where name = 'events'), 0),
                 coalesce((select max(position) from events), 0))
union all
select stream, version
from streams
where stream in (select value from json_each($1))
