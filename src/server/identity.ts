/**
 * Which data folder a member has: `identity.json` in it.
 *
 * A member that loses its disk loses its votes and what it acknowledged. If it came back under the same id with an
 * empty folder, it could vote twice in one term and help to elect a leader that lacks what was acknowledged (Raft paper,
 * section 5: both rest on persistent state). Nothing in the empty folder can tell; the others can. So each new folder
 * draws an *incarnation*, and every member remembers which incarnation of each peer it met first.
 *
 * ID1 An incarnation is durable before anybody is told of it.
 * ID2 `bootstrapped` is durable before the member serves; from then on the folder is refused without its log.
 * ID3 A peer's incarnation is durable before anything is exchanged with it, and is never replaced.
 * ID4 `removed` is durable before a removed member ends; from then on the folder is refused.
 */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { Disk } from '../ports/disk.ts';
import { MARKER_FILE } from '../storage/marker.ts';
import { assert } from '../types/assert.ts';
import { isName, type MemberId } from '../types/ids.ts';
import { IDENTITY_BYTES_MAX } from '../types/limits.ts';
import { err, ok, type Result } from '../types/result.ts';
import { type IdentityNames, MemberRemovedError } from './removed.ts';

const FILE = 'identity.json';
const TEMPORARY = 'identity.json.tmp';
/** What release 0.1 wrote, and still written while there is nothing to say that it could not read. */
const VERSION_FIRST = 1;
const VERSION = 2;
/** With `clusterDigest`, which older releases cannot read. */
const VERSION_CLUSTER = 3;
const VERSIONS: ReadonlySet<number> = new Set([VERSION_FIRST, VERSION, VERSION_CLUSTER]);
/** First-met incarnations that are kept: more than members come and go. */
const PEERS_MAX = 256;
const LOG_FOLDER = 'wal';
const STORE_FOLDER = 'store';

const name = z.string().refine(isName);
const incarnationText = z.string().regex(/^[0-9a-f]{32}$/);
const digestText = z.string().regex(/^[0-9a-f]{64}$/);
const fields = {
  clusterId: name,
  memberId: name,
  incarnation: incarnationText,
  bootstrapped: z.boolean(),
  peers: z.record(name, incarnationText).refine((peers) => Object.keys(peers).length <= PEERS_MAX),
};
const later = { ...fields, membersDigest: z.union([z.literal(''), digestText]).nullable(), removed: z.boolean() };
const contentSchema = z.discriminatedUnion('version', [
  z.strictObject({ version: z.literal(VERSION_FIRST), ...fields }),
  z.strictObject({ version: z.literal(VERSION), ...later }),
  z.strictObject({ version: z.literal(VERSION_CLUSTER), ...later, clusterDigest: digestText }),
]);

interface Content {
  readonly incarnation: string;
  readonly bootstrapped: boolean;
  /** Incarnations, by member id. */
  readonly peers: ReadonlyMap<string, string>;
  /** Of the voters that the cluster was started with; '' for a member that joined later; null: the log still says. */
  readonly membersDigest: string | null;
  /** Of a member that joined later: what `membersDigest` is with the first members of its cluster; '' until they have said it. */
  readonly clusterDigest: string;
  /** The cluster does not want this folder back. */
  readonly removed: boolean;
}

export class MemberIdentity {
  readonly #disk: Disk;
  readonly #names: IdentityNames;
  /** What is durable. */
  #content: Content;
  /** The last change, settled or not; never rejects. Changes are carried out one after the other. */
  #tail: Promise<unknown> = Promise.resolve();

  private constructor(disk: Disk, names: IdentityNames, content: Content) {
    this.#disk = disk;
    this.#names = names;
    this.#content = content;
  }

  /**
   * Reads the identity of a data folder (the root of `disk`), or makes one when the folder is new. Before the log is
   * opened. Rejects, and changes nothing, when the folder belongs to another member or a part of it was taken away; the
   * message says what to do.
   */
  static async open(disk: Disk, names: IdentityNames): Promise<MemberIdentity> {
    const files = await disk.list('');
    if (files.includes(FILE)) {
      const content = parse(where(disk, FILE), await readAll(disk), names);
      const identity = new MemberIdentity(disk, names, content);
      if (content.removed) throw identity.removedError();
      // A recovery under way has moved the log aside, and knows what this member voted (W4).
      if (!files.includes(MARKER_FILE)) identity.checkLog((await disk.list(LOG_FOLDER)).some(isSegment));
      return identity;
    }
    await refuseOrphans(disk, names, files);
    const incarnation = randomUUID().replaceAll('-', '');
    const content: Content = {
      incarnation,
      bootstrapped: false,
      peers: new Map(),
      membersDigest: null,
      clusterDigest: '',
      removed: false,
    };
    await write(disk, names, content);
    return new MemberIdentity(disk, names, content);
  }

  get incarnation(): string {
    return this.#content.incarnation;
  }

  /** True when a log was started in this folder once. */
  get bootstrapped(): boolean {
    return this.#content.bootstrapped;
  }

  /** True when no peer was ever met: nobody can know this folder. */
  get unknownToPeers(): boolean {
    return this.#content.peers.size === 0;
  }

  /** The data folder that `peer` was first met with; undefined: it never was. */
  firstMet(peer: MemberId): string | undefined {
    return this.#content.peers.get(peer);
  }

  /** See `Content`. */
  get membersDigest(): string | null {
    return this.#content.membersDigest;
  }

  /** With whom its cluster was begun, as far as this folder says; '' where it does not. */
  get clusterDigest(): string {
    const { membersDigest, clusterDigest } = this.#content;
    return clusterDigest === '' ? (membersDigest ?? '') : clusterDigest;
  }

  /** For a member that was removed. */
  removedError(): MemberRemovedError {
    return new MemberRemovedError(this.#names, where(this.#disk, ''));
  }

  /** Throws when the folder had a log once and has none now (ID2). */
  checkLog(present: boolean): void {
    if (present || !this.#content.bootstrapped) return;
    const { clusterId, memberId } = this.#names;
    throw new Error(
      `${where(this.#disk, LOG_FOLDER)} holds no log, but member ${memberId} of cluster ${clusterId} has used one: ` +
        `it was removed or replaced. Put it back. The member does not start with an empty log, because it would have ` +
        `forgotten its votes and acknowledgements`,
    );
  }

  /** The log was started and is durable. Resolves when that is written down (ID2); idempotent. */
  markBootstrapped(): Promise<void> {
    return this.#change(async () => {
      if (!this.#content.bootstrapped) await this.#store({ ...this.#content, bootstrapped: true });
    });
  }

  /**
   * The digest of the first list of members, for when the log will not say any more. Resolves when it is written down;
   * what was written first stays.
   */
  keepMembersDigest(digest: string): Promise<void> {
    return this.#change(async () => {
      if (this.#content.membersDigest === null) await this.#store({ ...this.#content, membersDigest: digest });
    });
  }

  /** The leader of the cluster that took this one in says with whom it was begun. Resolves when it is written down; the first word stays. */
  learnClusterDigest(digest: string): Promise<void> {
    assert(digestText.safeParse(digest).success, 'a digest is what is read again');
    return this.#change(async () => {
      if (this.clusterDigest === '') await this.#store({ ...this.#content, clusterDigest: digest });
    });
  }

  /** The cluster removed this member. From when this resolves on the folder is refused; idempotent. */
  markRemoved(): Promise<void> {
    return this.#change(async () => {
      if (!this.#content.removed) await this.#store({ ...this.#content, removed: true });
    });
  }

  /**
   * Resolves once it is durable that `peer` has `incarnation` (ID3), or with the reason why it must not have it.
   * Rejects with the disk's error; then nothing was admitted, and a later call tries again. `current`: peers that must not
   * be forgotten to make room.
   */
  admit(peer: MemberId, incarnation: string, current: ReadonlySet<string> = new Set()): Promise<Result<void, string>> {
    return this.#change(async () => {
      const known = this.#content.peers.get(peer);
      if (known === incarnation) return ok(undefined);
      if (known !== undefined) return err(lostFolder(peer));
      const kept = [...this.#content.peers];
      const forgotten = kept.findIndex(([id]) => !current.has(id));
      if (kept.length >= PEERS_MAX && forgotten >= 0) kept.splice(forgotten, 1);
      if (kept.length >= PEERS_MAX) return err(`this member has met ${PEERS_MAX} peers already: remove some`);
      await this.#store({ ...this.#content, peers: new Map([...kept, [peer, incarnation]]) });
      return ok(undefined);
    });
  }

  /** Waits for changes under way. */
  async close(): Promise<void> {
    await this.#tail;
  }

  #change<T>(change: () => Promise<T>): Promise<T> {
    const done = this.#tail.then(change);
    this.#tail = done.catch(() => undefined);
    return done;
  }

  /** Memory follows the disk, never the other way: what could not be written was not seen. */
  async #store(content: Content): Promise<void> {
    await write(this.#disk, this.#names, content);
    this.#content = content;
  }
}

function lostFolder(peer: MemberId): string {
  return (
    `member ${peer} lost its data folder or has another one; it must not come back under the same id: its votes and ` +
    'acknowledgements are forgotten. Put the old folder back'
  );
}

function where(disk: Disk, path: string): string {
  return disk.locate?.(path) ?? path;
}

function isSegment(file: string): boolean {
  return file.endsWith('.wal');
}

/** A folder without an identity must be a new one. `files` are in it. */
async function refuseOrphans(
  disk: Disk,
  { clusterId, memberId }: IdentityNames,
  files: readonly string[],
): Promise<void> {
  // What `quorate wal repair` wrote, or somebody's `wal`: a member that began anew beside it would seem to have lost all.
  const stray = files.find(isSegment);
  if (stray !== undefined) {
    throw new Error(
      `${where(disk, stray)} is a segment of a log: this folder is the log of a member, not its data folder. Name the ` +
        `folder that has it as ${LOG_FOLDER}, with its ${FILE} beside it, or an empty one if the member is new`,
    );
  }
  const log = (await disk.list(LOG_FOLDER)).some(isSegment);
  // CURRENT is in every folder that LevelDB has used.
  const store = (await disk.list(STORE_FOLDER)).includes('CURRENT');
  if (!log && !store) return;
  throw new Error(
    `${where(disk, FILE)} is missing, but ${where(disk, log ? LOG_FOLDER : STORE_FOLDER)} beside it was used before: ` +
      'it was removed, or only a part of the folder was put here. Put the file back that belongs to this folder; nothing ' +
      `is lost. Without it the others cannot tell member ${memberId} of cluster ${clusterId} from one that lost its disk`,
  );
}

async function readAll(disk: Disk): Promise<string> {
  const file = await disk.open(FILE, { create: false });
  try {
    // One byte more than allowed is enough to see that it is too long.
    return new TextDecoder().decode(await file.read(0, IDENTITY_BYTES_MAX + 1));
  } finally {
    await file.close();
  }
}

function parse(path: string, text: string, names: IdentityNames): Content {
  const json = parseJson(text);
  const version = z.object({ version: z.number() }).safeParse(json);
  if (version.success && !VERSIONS.has(version.data.version)) {
    throw new Error(
      `${path} has version ${version.data.version}, which this version of quorate does not know. ` +
        'Start the version that wrote it, or a later one',
    );
  }
  const parsed = contentSchema.safeParse(json);
  if (!parsed.success || text.length > IDENTITY_BYTES_MAX) {
    throw new Error(
      `${path} is damaged: it is not what quorate wrote. Put an intact copy of this file back; the log beside it is ` +
        'untouched. Without the file the others cannot tell this member from one that lost its disk',
    );
  }
  const { clusterId, memberId, incarnation, bootstrapped, peers } = parsed.data;
  if (clusterId !== names.clusterId || memberId !== names.memberId) {
    throw new Error(
      `${path} belongs to member ${memberId} of cluster ${clusterId}, but this is member ${names.memberId} of cluster ` +
        `${names.clusterId}. Set the data folder of this member, or an empty one if it is new`,
    );
  }
  const none = { membersDigest: null, removed: false, clusterDigest: '' };
  const { membersDigest, removed, clusterDigest } = { ...none, ...parsed.data };
  const known = { membersDigest, removed, clusterDigest };
  return { incarnation, bootstrapped, peers: new Map(Object.entries(peers)), ...known };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Replaces the file as a whole: after a crash it is the old one or the new one. Resolves when it is durable. */
async function write(disk: Disk, names: IdentityNames, content: Content): Promise<void> {
  const { incarnation, bootstrapped, membersDigest, removed, clusterDigest } = content;
  const peers = Object.fromEntries([...content.peers].sort(([a], [b]) => (a < b ? -1 : 1)));
  const { clusterId, memberId } = names;
  const first = { clusterId, memberId, incarnation, bootstrapped, peers };
  const known = { ...first, membersDigest, removed };
  let json: object = { version: VERSION, ...known };
  if (clusterDigest !== '') json = { version: VERSION_CLUSTER, ...known, clusterDigest };
  else if (membersDigest === null && !removed) json = { version: VERSION_FIRST, ...first };
  const text = JSON.stringify(json, null, 2);
  if ((await disk.list('')).includes(TEMPORARY)) await disk.remove(TEMPORARY);
  const file = await disk.open(TEMPORARY, { create: true });
  try {
    await file.write(0, new TextEncoder().encode(`${text}\n`));
    await file.sync();
  } finally {
    await file.close();
  }
  await disk.rename(TEMPORARY, FILE);
  await disk.syncFolder('');
}
