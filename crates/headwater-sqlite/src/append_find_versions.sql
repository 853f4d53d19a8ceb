select stream, version
from streams
where stream in (select value from json_each($1))
