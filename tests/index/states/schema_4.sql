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
INSERT INTO "entry" VALUES(1,1,'bad','bad.md','79ebb413927871ac06c1c4dfefef7cdd','Bad','note',NULL,NULL,NULL,'["jam"]','2026-11-23T05:14:18.705Z','2026-11-23T05:14:18.705Z',NULL,'{"id":"bad","title":"Bad","tags":["jam"]}','Once a good text, about rhubarb.');
INSERT INTO "entry" VALUES(2,1,'edited','edited.md','4a7ff7f1d6597587c11448532c365580','edited','note',NULL,NULL,'2024-05-06','[]','2026-11-23T05:14:18.705Z','2026-11-23T05:14:28.927Z',NULL,'{"id":"edited","date":"2024-05-06"}','At last: cloudberries.');
INSERT INTO "entry" VALUES(4,1,'links','links.md','854b0a92449b18077b3cbc4c23df7f21','links','note',NULL,NULL,NULL,'[]','2026-11-23T05:14:18.705Z','2026-11-23T05:14:18.705Z',NULL,'{"id":"links"}','[[shared]], [[notes:shared]] and [[note]]; see [[bad]].');
INSERT INTO "entry" VALUES(5,1,'note','m/note.md','9b8e87d5dec32ce50b962be5ffd9ce90','Note','note',NULL,NULL,NULL,'[]','2026-11-23T05:14:18.704Z','2026-11-23T05:14:18.704Z',NULL,'{"title":"Note"}','The first note, about quinces.');
INSERT INTO "entry" VALUES(6,1,'shared','z/owner.md','6fb5c6cf0fe36a423741e02acf8aa307','Owner','note',NULL,NULL,NULL,'[]','2026-11-23T05:14:18.704Z','2026-11-23T05:14:18.704Z',NULL,'{"id":"shared","title":"Owner"}','The owner knows marzipan.');
INSERT INTO "entry" VALUES(7,2,'kept','kept.md','d809cac4f022094621b36b7a0fc2b9b6','kept','note',NULL,NULL,NULL,'[]','2026-11-23T05:14:18.705Z','2026-11-23T05:14:18.705Z',NULL,'{"id":"kept"}','An entry of a knowledge base that was not named again.');
INSERT INTO "entry" VALUES(8,1,'a-note','a-note.md','552d1f85099c359f0a46a82119f2971f','Note','note',NULL,NULL,NULL,'[]','2026-11-23T05:14:22.922Z','2026-11-23T05:14:22.922Z',NULL,'{"title":"Note"}','The second note, whose path is smaller.');
INSERT INTO "entry" VALUES(9,1,'made','made.md','0f35a4be675c25016e5520794271f9df','made','note',NULL,NULL,NULL,'[]','2026-11-23T05:14:25.926Z','2026-11-23T05:14:25.926Z','Made later','{"id":"made","summary":"Made later"}','Made while it was watched: sloes.');
PRAGMA writable_schema=ON;
INSERT INTO sqlite_master(type,name,tbl_name,rootpage,sql)VALUES('table','entry_text','entry_text',0,'CREATE VIRTUAL TABLE entry_text USING fts5 (
    title, body, tags,
    content = ''entry'', content_rowid = ''row'',
    tokenize = ''unicode61 remove_diacritics 2''
)');
CREATE TABLE 'entry_text_config'(k PRIMARY KEY, v) WITHOUT ROWID;
INSERT INTO "entry_text_config" VALUES('automerge',0);
INSERT INTO "entry_text_config" VALUES('hashsize',8388608);
INSERT INTO "entry_text_config" VALUES('version',4);
CREATE TABLE 'entry_text_data'(id INTEGER PRIMARY KEY, block BLOB);
INSERT INTO "entry_text_data" VALUES(1,X'08083101');
INSERT INTO "entry_text_data" VALUES(10,X'0000000202030000030501010101010201010000');
INSERT INTO "entry_text_data" VALUES(137438953473,X'000000140530676F6E6503010104736F6F6E03010408');
INSERT INTO "entry_text_data" VALUES(274877906945,X'00000055033061740206010102010C636C6F75646265727269657302060101040106656469746564020302020B6C64657262657272696573020101046C617374020601010301046D6F7265020101046F6E636502010409130B0F0B08');
INSERT INTO "entry_text_data" VALUES(687194767361,X'0000021A023061010601010306060101050204626F75740106010106040601010502046761696E070601010C02016E07060101020301640406010105010362616401020203060101080302736507060101070106656469746564020202020B6C64657262657272696573020601010402046E74727907060101030105666972737405060101030104676F6E6503080201010303026F640106010104010269730806010107020174090601010401036A616D010601020201046B65707407020202086E6F776C656467650706010106050173060601010401056C696E6B7304020201046D6164650908020101020306727A6970616E060601010502036F7265020601010301056E616D6564070601010B02026F74070601010A0401650406010106010802010104030802010104050173040601010301026F66070601010402036E6365010601010201060101020204776E6572060802010103010470617468080601010601077175696E6365730506010106010772687562617262010601010701067365636F6E64080601010303016504060101070205686172656404080101020402046C6F6573090601010702066D616C6C6572080601010802036F6F6E0306010102010474657874010601010502036861740706010108030165050601010201060101020206010102010377617307060101090206010105030574636865640906010106020468696C65090601010303036F73650806010105040D100B08080D090B120B0C0C0909080A090F080A0C0D0A0C091408090F0C0B0E0E0D080D0B0D0A0B0A120F0C0B');
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
INSERT INTO "entry_text_idx" VALUES(5,X'',2);
CREATE TABLE event (
    offset INTEGER PRIMARY KEY,
    type TEXT NOT NULL,
    kb_name TEXT NOT NULL,
    entry_id TEXT NOT NULL,
    message TEXT NOT NULL
);
INSERT INTO "event" VALUES(1,'kb_synced','notes','','{"type":"kb_synced","entry_id":"","kb_name":"notes","epoch":"2UrB5GelYgqX9ovi","offset":1,"path":"","revision":null,"origin":"disk","added":0,"updated":0,"removed":0,"problems":1,"available":true,"duration_ms":1,"ts":"2026-11-23T05:14:21.931Z"}');
INSERT INTO "event" VALUES(2,'entry_created','notes','a-note','{"type":"entry_created","entry_id":"a-note","kb_name":"notes","epoch":"2UrB5GelYgqX9ovi","offset":2,"path":"a-note.md","revision":"552d1f85099c359f0a46a82119f2971f","origin":"disk","ts":"2026-11-23T05:14:22.931Z"}');
INSERT INTO "event" VALUES(3,'kb_synced','notes','','{"type":"kb_synced","entry_id":"","kb_name":"notes","epoch":"2UrB5GelYgqX9ovi","offset":3,"path":"","revision":null,"origin":"disk","added":1,"updated":0,"removed":0,"problems":1,"available":true,"duration_ms":2,"ts":"2026-11-23T05:14:22.931Z"}');
INSERT INTO "event" VALUES(4,'entry_updated','notes','edited','{"type":"entry_updated","entry_id":"edited","kb_name":"notes","epoch":"2UrB5GelYgqX9ovi","offset":4,"path":"edited.md","revision":"cd9117207e1f1423cecc2320602e3667","origin":"disk","ts":"2026-11-23T05:14:23.936Z"}');
INSERT INTO "event" VALUES(5,'kb_synced','notes','','{"type":"kb_synced","entry_id":"","kb_name":"notes","epoch":"2UrB5GelYgqX9ovi","offset":5,"path":"","revision":null,"origin":"disk","added":0,"updated":1,"removed":0,"problems":1,"available":true,"duration_ms":2,"ts":"2026-11-23T05:14:23.936Z"}');
INSERT INTO "event" VALUES(6,'kb_synced','notes','','{"type":"kb_synced","entry_id":"","kb_name":"notes","epoch":"2UrB5GelYgqX9ovi","offset":6,"path":"","revision":null,"origin":"disk","added":0,"updated":0,"removed":0,"problems":2,"available":true,"duration_ms":1,"ts":"2026-11-23T05:14:25.325Z"}');
INSERT INTO "event" VALUES(7,'entry_created','notes','made','{"type":"entry_created","entry_id":"made","kb_name":"notes","epoch":"2UrB5GelYgqX9ovi","offset":7,"path":"made.md","revision":"0f35a4be675c25016e5520794271f9df","origin":"disk","ts":"2026-11-23T05:14:25.937Z"}');
INSERT INTO "event" VALUES(8,'kb_synced','notes','','{"type":"kb_synced","entry_id":"","kb_name":"notes","epoch":"2UrB5GelYgqX9ovi","offset":8,"path":"","revision":null,"origin":"disk","added":1,"updated":0,"removed":0,"problems":2,"available":true,"duration_ms":1,"ts":"2026-11-23T05:14:25.937Z"}');
INSERT INTO "event" VALUES(9,'entry_deleted','notes','gone','{"type":"entry_deleted","entry_id":"gone","kb_name":"notes","epoch":"2UrB5GelYgqX9ovi","offset":9,"path":"gone.md","revision":null,"origin":"disk","ts":"2026-11-23T05:14:27.057Z"}');
INSERT INTO "event" VALUES(10,'kb_synced','notes','','{"type":"kb_synced","entry_id":"","kb_name":"notes","epoch":"2UrB5GelYgqX9ovi","offset":10,"path":"","revision":null,"origin":"disk","added":0,"updated":0,"removed":1,"problems":2,"available":true,"duration_ms":2,"ts":"2026-11-23T05:14:27.057Z"}');
INSERT INTO "event" VALUES(11,'entry_updated','notes','edited','{"type":"entry_updated","entry_id":"edited","kb_name":"notes","epoch":"2UrB5GelYgqX9ovi","offset":11,"path":"edited.md","revision":"4a7ff7f1d6597587c11448532c365580","origin":"disk","ts":"2026-11-23T05:14:28.939Z"}');
INSERT INTO "event" VALUES(12,'kb_synced','notes','','{"type":"kb_synced","entry_id":"","kb_name":"notes","epoch":"2UrB5GelYgqX9ovi","offset":12,"path":"","revision":null,"origin":"disk","added":0,"updated":1,"removed":0,"problems":2,"available":true,"duration_ms":1,"ts":"2026-11-23T05:14:28.939Z"}');
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
INSERT INTO "file" VALUES(1,'a-claimant.md',NULL,NULL,NULL,NULL,NULL,'5471610f011a506f4d9b7acb02f13750',NULL,'shared',1,'front');
INSERT INTO "file" VALUES(1,'a-note.md',NULL,NULL,NULL,NULL,NULL,'552d1f85099c359f0a46a82119f2971f','a-note','note',0,'front');
INSERT INTO "file" VALUES(1,'bad.md',1795410864925002847,1795410864925002847,32,3350549,65024,'7d5c8bc922dcbb082bc08fec72c881ed','bad','bad',1,'front');
INSERT INTO "file" VALUES(1,'edited.md',1795410868927595481,1795410868927595481,59,3350552,65024,'4a7ff7f1d6597587c11448532c365580','edited','edited',1,'front');
INSERT INTO "file" VALUES(1,'links.md',1795410858705098338,1795410858705098338,74,3350550,65024,'854b0a92449b18077b3cbc4c23df7f21','links','links',1,'front');
INSERT INTO "file" VALUES(1,'m/note.md',1795410858704995595,1795410858704995595,51,3350548,65024,'9b8e87d5dec32ce50b962be5ffd9ce90','note','note',0,'front');
INSERT INTO "file" VALUES(1,'made.md',1795410865926277332,1795410865926277332,71,3351236,65024,'0f35a4be675c25016e5520794271f9df','made','made',1,'front');
INSERT INTO "file" VALUES(1,'z/owner.md',1795410858704894434,1795410858704894434,58,3350546,65024,'6fb5c6cf0fe36a423741e02acf8aa307','shared','shared',1,'front');
INSERT INTO "file" VALUES(2,'kept.md',1795410858705238486,1795410858705238486,72,3350554,65024,'d809cac4f022094621b36b7a0fc2b9b6','kept','kept',1,'front');
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
INSERT INTO "kb" VALUES(1,'notes',1,0,1,1,65024,-5035305662806047214,'2026-11-23T05:14:28.939Z');
INSERT INTO "kb" VALUES(2,'other',0,0,1,1,65024,4039271800699605183,'2026-11-23T05:14:19.687Z');
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
INSERT INTO "meta" VALUES('checkpoint','1795410870981533075');
INSERT INTO "meta" VALUES('epoch','2UrB5GelYgqX9ovi');
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
INSERT INTO "problem" VALUES(1,'file','a-claimant.md','duplicate_id','its id belongs to z/owner.md',NULL,'2026-11-23T05:14:21.931Z');
INSERT INTO "problem" VALUES(1,'file','bad.md','yaml','expected '','' or '']'': what was opened above is not closed (last good version kept)',3,'2026-11-23T05:14:25.325Z');
CREATE UNIQUE INDEX file_owner ON file (kb_id, entry_id) WHERE entry_id IS NOT NULL;
CREATE INDEX file_waiting ON file (kb_id, claim) WHERE entry_id IS NULL;
CREATE INDEX file_waiting_derived ON file (kb_id)
    WHERE entry_id IS NULL AND claim IS NOT NULL AND NOT explicit;
CREATE UNIQUE INDEX entry_key ON entry (kb_id, entry_id);
CREATE INDEX entry_recent ON entry (updated_at);
CREATE INDEX entry_recent_in_kb ON entry (kb_id, updated_at);
CREATE INDEX link_target ON link (target, kb_name);
CREATE INDEX event_key ON event (kb_name, entry_id);
PRAGMA writable_schema=OFF;
COMMIT;
PRAGMA user_version = 4;
PRAGMA application_id = 1350129441;
