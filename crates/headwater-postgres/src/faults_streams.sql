select coalesce(s.stream, e.stream), coalesce(s.version, 0), coalesce(e.version, 0)
from {schema}.streams s
full join (select stream, max(version) as version from {schema}.events group by stream) e on e.stream = s.stream
where s.version is distinct from e.version
order by 1
limit $1
