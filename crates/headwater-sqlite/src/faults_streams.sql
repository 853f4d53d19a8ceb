-- A full join would keep all streams of one side in memory.
select stream, said, last
from (select s.stream as stream,
             s.version as said,
             coalesce((select max(e.version) from events e where e.stream = s.stream), 0) as last
      from streams s
      union all
      select e.stream, 0, max(e.version)
      from events e
      group by e.stream
      having not exists (select 1 from streams s where s.stream = e.stream))
where said <> last
order by stream
limit $1
