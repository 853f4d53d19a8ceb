select name, pk > 0
from pragma_table_info($1)
order by cid
