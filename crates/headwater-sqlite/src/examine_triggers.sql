select k.value
from json_each('["events_refuse_update","events_refuse_delete","events_refuse_replace"]') k
where not exists (select 1 from sqlite_schema s where s.type = 'trigger' and s.name = k.value)
