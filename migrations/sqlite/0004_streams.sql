-- The category of a stream is the beginning of its name, which is the key: the streams of a category lie side
-- by side in it. A column and an index of its own cost each new stream more than they were worth.

drop index streams_category;
alter table streams drop column category;
