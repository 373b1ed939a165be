BEGIN TRANSACTION;
CREATE TABLE entry (
    row INTEGER PRIMARY KEY,
    kb_id INTEGER NOT NULL,
    entry_id TEXT NOT NULL,
    path TEXT NOT NULL,
    revision TEXT NOT NULL,
    title TEXT NOT NULL,
    entry_type TEXT NOT NULL,
    importance INTEGER,
    status TEXT,
    date TEXT,
    tags TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    summary TEXT,
    metadata TEXT NOT NULL,
    body TEXT NOT NULL
);
INSERT INTO "entry" VALUES(1,1,'bad','bad.md','79ebb413927871ac06c1c4dfefef7cdd','Bad','note',NULL,NULL,NULL,'["jam"]','2026-11-23T11:46:12.047Z','2026-11-23T11:46:12.047Z',NULL,'{"id":"bad","title":"Bad","tags":["jam"]}','Once a good text, about rhubarb.');
INSERT INTO "entry" VALUES(2,1,'edited','edited.md','4a7ff7f1d6597587c11448532c365580','edited','note',NULL,NULL,'2024-05-06','[]','2026-11-23T11:46:12.048Z','2026-11-23T11:46:38.092Z',NULL,'{"id":"edited","date":"2024-05-06"}','At last: cloudberries.');
INSERT INTO "entry" VALUES(4,1,'links','links.md','854b0a92449b18077b3cbc4c23df7f21','links','note',NULL,NULL,NULL,'[]','2026-11-23T11:46:12.047Z','2026-11-23T11:46:12.047Z',NULL,'{"id":"links"}','[[shared]], [[notes:shared]] and [[note]]; see [[bad]].');
INSERT INTO "entry" VALUES(5,1,'note','m/note.md','9b8e87d5dec32ce50b962be5ffd9ce90','Note','note',NULL,NULL,NULL,'[]','2026-11-23T11:46:12.047Z','2026-11-23T11:46:12.047Z',NULL,'{"title":"Note"}','The first note, about quinces.');
INSERT INTO "entry" VALUES(6,1,'shared','z/owner.md','6fb5c6cf0fe36a423741e02acf8aa307','Owner','note',NULL,NULL,NULL,'[]','2026-11-23T11:46:12.047Z','2026-11-23T11:46:12.047Z',NULL,'{"id":"shared","title":"Owner"}','The owner knows marzipan.');
INSERT INTO "entry" VALUES(7,2,'kept','kept.md','d809cac4f022094621b36b7a0fc2b9b6','kept','note',NULL,NULL,NULL,'[]','2026-11-23T11:46:12.048Z','2026-11-23T11:46:12.048Z',NULL,'{"id":"kept"}','An entry of a knowledge base that was not named again.');
INSERT INTO "entry" VALUES(8,1,'a-note','a-note.md','552d1f85099c359f0a46a82119f2971f','Note','note',NULL,NULL,NULL,'[]','2026-11-23T11:46:22.941Z','2026-11-23T11:46:22.941Z',NULL,'{"title":"Note"}','The second note, whose path is smaller.');
INSERT INTO "entry" VALUES(9,1,'made','made.md','0f35a4be675c25016e5520794271f9df','made','note',NULL,NULL,NULL,'[]','2026-11-23T11:46:31.965Z','2026-11-23T11:46:31.965Z','Made later','{"id":"made","summary":"Made later"}','Made while it was watched: sloes.');
PRAGMA writable_schema=ON;
INSERT INTO sqlite_master(type,name,tbl_name,rootpage,sql)VALUES('table','entry_text','entry_text',0,'CREATE VIRTUAL TABLE entry_text USING fts5 (
    title, body, tags,
    content = ''entry'', content_rowid = ''row'',
    tokenize = ''unicode61 remove_diacritics 2''
)');
CREATE TABLE 'entry_text_config'(k PRIMARY KEY, v) WITHOUT ROWID;
INSERT INTO "entry_text_config" VALUES('automerge',0);
INSERT INTO "entry_text_config" VALUES('crisismerge',256);
INSERT INTO "entry_text_config" VALUES('hashsize',8388608);
INSERT INTO "entry_text_config" VALUES('usermerge',16);
INSERT INTO "entry_text_config" VALUES('version',4);
CREATE TABLE 'entry_text_data'(id INTEGER PRIMARY KEY, block BLOB);
INSERT INTO "entry_text_data" VALUES(1,X'08083101');
INSERT INTO "entry_text_data" VALUES(10,X'000000040106000006010101020101030101040101050101060101');
INSERT INTO "entry_text_data" VALUES(137438953473,X'0000019B023061010601010306060101050204626F75740106010106040601010502046761696E070601010C02016E0706010102030164040601010501036261640102020306010108030273650706010107020565666F72650206010102010665646974656402020202046E74727907060101030105666972737405060101030104676F6E6503080201010303026F6401060101040409736562657272696573020601010301036A616D010601020201046B65707407020202086E6F776C656467650706010106050173060601010401056C696E6B7304020201086D61727A6970616E060601010501056E616D6564070601010B02026F74070601010A0401650406010106010802010104050173040601010301026F66070601010402036E636501060101020204776E657206080201010301077175696E63657305060101060107726875626172620106010107010373656504060101070205686172656404080101020402036F6F6E03060101020104746578740106010105020368617407060101080301650506010102010601010201037761730706010109040D100B08080D090C0B0B0C0C09100A090F080A0F0C090E08090A0C0E0E0A0D0A0B0A0D');
INSERT INTO "entry_text_data" VALUES(274877906945,X'0000005403306973080601010701046E6F7465080802010104010470617468080601010601067365636F6E64080601010302066D616C6C6572080601010801037468650806010102010577686F7365080601010504090C0B0D0D0A');
INSERT INTO "entry_text_data" VALUES(412316860417,X'0000005107306265666F726502010106656469746564020302020B6C646572626572726965730206010104010C676F6F736562657272696573020101046D6F7265020601010301046F6E63650206010102040A0B12100B');
INSERT INTO "entry_text_data" VALUES(549755813889,X'0000004603306974090601010401046D6164650908020101020105736C6F6573090601010701037761730906010105030574636865640906010106020468696C65090601010304090C0C0A0C');
INSERT INTO "entry_text_data" VALUES(687194767361,X'000000140530676F6E6503010104736F6F6E03010408');
INSERT INTO "entry_text_data" VALUES(824633720833,X'00000055033061740206010102010C636C6F75646265727269657302060101040106656469746564020302020B6C64657262657272696573020101046C617374020601010301046D6F7265020101046F6E636502010409130B0F0B08');
CREATE TABLE 'entry_text_docsize'(id INTEGER PRIMARY KEY, sz BLOB);
INSERT INTO "entry_text_docsize" VALUES(1,X'010601');
INSERT INTO "entry_text_docsize" VALUES(2,X'010300');
INSERT INTO "entry_text_docsize" VALUES(4,X'010700');
INSERT INTO "entry_text_docsize" VALUES(5,X'010500');
INSERT INTO "entry_text_docsize" VALUES(6,X'010400');
INSERT INTO "entry_text_docsize" VALUES(7,X'010B00');
INSERT INTO "entry_text_docsize" VALUES(8,X'010700');
INSERT INTO "entry_text_docsize" VALUES(9,X'010600');
CREATE TABLE 'entry_text_idx'(segid, term, pgno, PRIMARY KEY(segid, term)) WITHOUT ROWID;
INSERT INTO "entry_text_idx" VALUES(1,X'',2);
INSERT INTO "entry_text_idx" VALUES(2,X'',2);
INSERT INTO "entry_text_idx" VALUES(3,X'',2);
INSERT INTO "entry_text_idx" VALUES(4,X'',2);
INSERT INTO "entry_text_idx" VALUES(5,X'',2);
INSERT INTO "entry_text_idx" VALUES(6,X'',2);
CREATE TABLE event (
    offset INTEGER PRIMARY KEY,
    type TEXT NOT NULL,
    kb_name TEXT NOT NULL,
    entry_id TEXT NOT NULL,
    message TEXT NOT NULL
);
INSERT INTO "event" VALUES(1,'kb_synced','notes','','{"type":"kb_synced","entry_id":"","kb_name":"notes","epoch":"brG1_NMwN2ZnoufA","offset":1,"path":"","revision":null,"origin":"disk","added":0,"updated":0,"removed":0,"problems":1,"available":true,"duration_ms":3,"ts":"2026-11-23T11:46:19.464Z"}');
INSERT INTO "event" VALUES(2,'entry_created','notes','a-note','{"type":"entry_created","entry_id":"a-note","kb_name":"notes","epoch":"brG1_NMwN2ZnoufA","offset":2,"path":"a-note.md","revision":"552d1f85099c359f0a46a82119f2971f","origin":"disk","ts":"2026-11-23T11:46:22.975Z"}');
INSERT INTO "event" VALUES(3,'kb_synced','notes','','{"type":"kb_synced","entry_id":"","kb_name":"notes","epoch":"brG1_NMwN2ZnoufA","offset":3,"path":"","revision":null,"origin":"disk","added":1,"updated":0,"removed":0,"problems":1,"available":true,"duration_ms":2,"ts":"2026-11-23T11:46:22.975Z"}');
INSERT INTO "event" VALUES(4,'entry_updated','notes','edited','{"type":"entry_updated","entry_id":"edited","kb_name":"notes","epoch":"brG1_NMwN2ZnoufA","offset":4,"path":"edited.md","revision":"cd9117207e1f1423cecc2320602e3667","origin":"disk","ts":"2026-11-23T11:46:25.957Z"}');
INSERT INTO "event" VALUES(5,'kb_synced','notes','','{"type":"kb_synced","entry_id":"","kb_name":"notes","epoch":"brG1_NMwN2ZnoufA","offset":5,"path":"","revision":null,"origin":"disk","added":0,"updated":1,"removed":0,"problems":1,"available":true,"duration_ms":2,"ts":"2026-11-23T11:46:25.957Z"}');
INSERT INTO "event" VALUES(6,'kb_synced','notes','','{"type":"kb_synced","entry_id":"","kb_name":"notes","epoch":"brG1_NMwN2ZnoufA","offset":6,"path":"","revision":null,"origin":"disk","added":0,"updated":0,"removed":0,"problems":2,"available":true,"duration_ms":1,"ts":"2026-11-23T11:46:29.348Z"}');
INSERT INTO "event" VALUES(7,'entry_created','notes','made','{"type":"entry_created","entry_id":"made","kb_name":"notes","epoch":"brG1_NMwN2ZnoufA","offset":7,"path":"made.md","revision":"0f35a4be675c25016e5520794271f9df","origin":"disk","ts":"2026-11-23T11:46:32.013Z"}');
INSERT INTO "event" VALUES(8,'kb_synced','notes','','{"type":"kb_synced","entry_id":"","kb_name":"notes","epoch":"brG1_NMwN2ZnoufA","offset":8,"path":"","revision":null,"origin":"disk","added":1,"updated":0,"removed":0,"problems":2,"available":true,"duration_ms":1,"ts":"2026-11-23T11:46:32.013Z"}');
INSERT INTO "event" VALUES(9,'entry_deleted','notes','gone','{"type":"entry_deleted","entry_id":"gone","kb_name":"notes","epoch":"brG1_NMwN2ZnoufA","offset":9,"path":"gone.md","revision":null,"origin":"disk","ts":"2026-11-23T11:46:35.093Z"}');
INSERT INTO "event" VALUES(10,'kb_synced','notes','','{"type":"kb_synced","entry_id":"","kb_name":"notes","epoch":"brG1_NMwN2ZnoufA","offset":10,"path":"","revision":null,"origin":"disk","added":0,"updated":0,"removed":1,"problems":2,"available":true,"duration_ms":1,"ts":"2026-11-23T11:46:35.093Z"}');
INSERT INTO "event" VALUES(11,'entry_updated','notes','edited','{"type":"entry_updated","entry_id":"edited","kb_name":"notes","epoch":"brG1_NMwN2ZnoufA","offset":11,"path":"edited.md","revision":"4a7ff7f1d6597587c11448532c365580","origin":"disk","ts":"2026-11-23T11:46:38.258Z"}');
INSERT INTO "event" VALUES(12,'kb_synced','notes','','{"type":"kb_synced","entry_id":"","kb_name":"notes","epoch":"brG1_NMwN2ZnoufA","offset":12,"path":"","revision":null,"origin":"disk","added":0,"updated":1,"removed":0,"problems":2,"available":true,"duration_ms":1,"ts":"2026-11-23T11:46:38.258Z"}');
CREATE TABLE file (
    kb_id INTEGER NOT NULL,
    path TEXT NOT NULL,
    mtime_ns INTEGER, ctime_ns INTEGER, size INTEGER, inode INTEGER, device INTEGER,
    revision TEXT NOT NULL,
    entry_id TEXT,
    claim TEXT,
    explicit INTEGER NOT NULL,
    form TEXT NOT NULL,
    PRIMARY KEY (kb_id, path)
) WITHOUT ROWID;
INSERT INTO "file" VALUES(1,'a-claimant.md',1795434379450124761,1795434379450124761,60,2203864,65024,'5471610f011a506f4d9b7acb02f13750',NULL,'shared',1,'front');
INSERT INTO "file" VALUES(1,'a-note.md',1795434382941904316,1795434382941904316,60,2203865,65024,'552d1f85099c359f0a46a82119f2971f','a-note','note',0,'front');
INSERT INTO "file" VALUES(1,'bad.md',1795434388947919118,1795434388947919118,32,2203849,65024,'7d5c8bc922dcbb082bc08fec72c881ed','bad','bad',1,'front');
INSERT INTO "file" VALUES(1,'edited.md',1795434398092373743,1795434398092373743,59,2203854,65024,'4a7ff7f1d6597587c11448532c365580','edited','edited',1,'front');
INSERT INTO "file" VALUES(1,'links.md',1795434372047937210,1795434372047937210,74,2203851,65024,'854b0a92449b18077b3cbc4c23df7f21','links','links',1,'front');
INSERT INTO "file" VALUES(1,'m/note.md',1795434372047806926,1795434372047806926,51,2230365,65024,'9b8e87d5dec32ce50b962be5ffd9ce90','note','note',0,'front');
INSERT INTO "file" VALUES(1,'made.md',1795434391965228436,1795434391965228436,71,2203866,65024,'0f35a4be675c25016e5520794271f9df','made','made',1,'front');
INSERT INTO "file" VALUES(1,'z/owner.md',1795434372047671514,1795434372047671514,58,2230358,65024,'6fb5c6cf0fe36a423741e02acf8aa307','shared','shared',1,'front');
INSERT INTO "file" VALUES(2,'kept.md',1795434372048124359,1795434372048124359,72,2712368,65024,'d809cac4f022094621b36b7a0fc2b9b6','kept','kept',1,'front');
CREATE TABLE kb (
    kb_id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    active INTEGER NOT NULL DEFAULT 1,     -- named at the last start
    untold INTEGER NOT NULL DEFAULT 0,     -- named again, and its entries are not told yet
    indexed INTEGER NOT NULL DEFAULT 0,    -- its first pass was committed
    available INTEGER NOT NULL DEFAULT 1,
    device INTEGER,
    inode INTEGER,
    last_indexed TEXT
);
INSERT INTO "kb" VALUES(1,'notes',1,0,1,1,65024,-7209028921485883806,'2026-11-23T11:46:38.257Z');
INSERT INTO "kb" VALUES(2,'other',0,0,1,1,65024,9146719113435245961,'2026-11-23T11:46:14.453Z');
CREATE TABLE link (
    source INTEGER NOT NULL,               -- entry.row
    position INTEGER NOT NULL,
    kb_name TEXT NOT NULL,
    target TEXT NOT NULL,
    PRIMARY KEY (source, position)
) WITHOUT ROWID;
INSERT INTO "link" VALUES(4,2,'notes','bad');
INSERT INTO "link" VALUES(4,1,'notes','note');
INSERT INTO "link" VALUES(4,0,'notes','shared');
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "meta" VALUES('checkpoint','1795434400279875165');
INSERT INTO "meta" VALUES('epoch','brG1_NMwN2ZnoufA');
CREATE TABLE name (kb_id INTEGER NOT NULL, name TEXT NOT NULL, rank INTEGER NOT NULL, row INTEGER NOT NULL, PRIMARY KEY (kb_id, name, rank, row)) WITHOUT ROWID;
INSERT INTO "name" VALUES(1,'owner',1,6);
CREATE TABLE problem (
    kb_id INTEGER NOT NULL,
    scope TEXT NOT NULL,                   -- 'file', 'scan' or 'kb': who may clear it
    path TEXT NOT NULL,
    kind TEXT NOT NULL,
    message TEXT NOT NULL,
    line INTEGER,
    since TEXT NOT NULL,
    PRIMARY KEY (kb_id, scope, path, kind)
) WITHOUT ROWID;
INSERT INTO "problem" VALUES(1,'file','a-claimant.md','duplicate_id','its id belongs to z/owner.md',NULL,'2026-11-23T11:46:19.463Z');
INSERT INTO "problem" VALUES(1,'file','bad.md','yaml','expected '','' or '']'': what was opened above is not closed (last good version kept)',3,'2026-11-23T11:46:29.348Z');
CREATE UNIQUE INDEX file_owner ON file (kb_id, entry_id) WHERE entry_id IS NOT NULL;
CREATE INDEX file_waiting ON file (kb_id, claim) WHERE entry_id IS NULL;
CREATE INDEX file_waiting_derived ON file (kb_id)
    WHERE entry_id IS NULL AND claim IS NOT NULL AND NOT explicit;
CREATE UNIQUE INDEX entry_key ON entry (kb_id, entry_id);
CREATE INDEX entry_recent ON entry (updated_at);
CREATE INDEX entry_recent_in_kb ON entry (kb_id, updated_at);
CREATE INDEX link_target ON link (target, kb_name);
CREATE INDEX event_key ON event (kb_name, entry_id);
CREATE INDEX name_row ON name (row);
PRAGMA writable_schema=OFF;
COMMIT;
PRAGMA user_version = 5;
PRAGMA application_id = 1350129441;
