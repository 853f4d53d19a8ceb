delete from {schema}.leases
where projection = $1 and work = $2
