select e.stream, e.version, e.position, e.version_before, e.position_before
from (select stream,
             version,
             position,
             lag(version, 1, 0) over in_stream as version_before,
             lag(position, 1, 0) over in_stream as position_before
      from events
      window in_stream as (partition by stream order by version, position)) e
where e.version <> e.version_before + 1 or e.position <= e.position_before
order by e.position
limit $1
