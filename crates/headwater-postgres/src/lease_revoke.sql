delete from {schema}.leases
where projection = $1
