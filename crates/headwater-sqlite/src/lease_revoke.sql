delete from leases
where projection = $1
