-- The highest position known to be settled, for processes that start while others write.

create table {schema}.settled (
    only_row boolean primary key default true check (only_row),
    position bigint not null
) with (fillfactor = 50);

insert into {schema}.settled (position) values (0);

-- Its place is taken by one with another signature.
drop function if exists {schema}.ceiling(bigint, text[]);
