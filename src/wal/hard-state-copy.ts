/**
 * A second copy of every hard state, apart from the log (W4): what a member voted survives damage to its log by it.
 * The file `hard-state`; every byte is explained in `FORMAT.md`.
 *
 * HC1  Each stream has two slots of one sector, written in turn: a write never touches the newest state that is durable.
 * HC2  A sector is old or new after a crash, never half: a slot that is neither blank nor intact is damage, whichever of
 *      the two it is. The copy as a whole says nothing then (it might be the newest state that is lost).
 */
import crc32 from 'crc-32';
import type { Disk, DiskFile } from '../ports/disk.ts';
import { DiskError } from '../ports/disk.ts';
import type { HardState } from '../raft/types.ts';
import { assert } from '../types/assert.ts';
import { isName, type MemberId, type StreamId, streamId, term } from '../types/ids.ts';
import { deviceFailure } from './failure.ts';
import { asBuffer } from './record.ts';
import { labelOf, removeIfThere } from './segment.ts';
import { type HardStateCopy, WalError, type WalIdentity } from './types.ts';

export const HARD_STATE_FILE = 'hard-state';
const TEMPORARY_FILE = 'hard-state.tmp';
const SECTOR_BYTES = 512;
const CRC_AT = SECTOR_BYTES - 4;
const MAGIC_FILE = 'QUORVOT\n';
const MAGIC_SLOT = 'QUORVOTE';
const FORMAT_VERSION = 1;
const NAME_BYTES_MAX = 64;
const HIGH = 2 ** 32;
/** Stands for the log itself: its slots hold the sequence number of a segment instead of a term. */
const LOG_ITSELF: StreamId = streamId(2 ** 32 - 1);

/** What one slot says. */
export interface HardStateSlot {
  readonly stream: StreamId;
  /** Rises with every write of the stream; the higher one counts. */
  readonly sequence: number;
  readonly hardState: HardState;
}

type Recovered = HardStateCopy['recovered'];

// ---------------------------------------------------------------------------------------------- bytes

function seal(sector: Buffer, at: number): Buffer {
  sector.writeUInt32LE(crc32.buf(sector.subarray(0, CRC_AT), at | 0) >>> 0, CRC_AT);
  return sector;
}

function sealed(sector: Buffer, at: number): boolean {
  return (
    sector.length === SECTOR_BYTES &&
    crc32.buf(sector.subarray(0, CRC_AT), at | 0) >>> 0 === sector.readUInt32LE(CRC_AT)
  );
}

function writeText(sector: Buffer, text: string, at: number): void {
  assert(text.length <= NAME_BYTES_MAX, 'a name fits');
  sector.writeUInt8(text.length, at);
  sector.write(text, at + 1, 'latin1');
}

function readText(sector: Buffer, at: number): string {
  return sector.toString('latin1', at + 1, at + 1 + Math.min(sector.readUInt8(at), NAME_BYTES_MAX));
}

function writeU64(sector: Buffer, value: number, at: number): void {
  sector.writeUInt32LE(value % HIGH, at);
  sector.writeUInt32LE(Math.floor(value / HIGH), at + 4);
}

function readU64(sector: Buffer, at: number): number {
  return sector.readUInt32LE(at) + sector.readUInt32LE(at + 4) * HIGH;
}

function encodeHeader(identity: WalIdentity): Buffer {
  const sector = Buffer.alloc(SECTOR_BYTES);
  sector.write(MAGIC_FILE, 0, 'latin1');
  sector.writeUInt32LE(FORMAT_VERSION, 8);
  writeText(sector, identity.clusterId, 16);
  writeText(sector, identity.memberId, 16 + 1 + NAME_BYTES_MAX);
  return seal(sector, 0);
}

/** For the slot at `at` of the file. */
export function encodeSlot(slot: HardStateSlot, at: number): Buffer {
  const sector = Buffer.alloc(SECTOR_BYTES);
  sector.write(MAGIC_SLOT, 0, 'latin1');
  writeU64(sector, slot.sequence, 8);
  sector.writeUInt32LE(slot.stream, 16);
  writeU64(sector, slot.hardState.term, 24);
  writeText(sector, slot.hardState.votedFor ?? '', 32);
  return seal(sector, at);
}

/** null: it is damaged; 'blank': nothing was written there. */
function decodeSlot(sector: Buffer, at: number): HardStateSlot | 'blank' | null {
  if (sector.length === SECTOR_BYTES && sector.every((byte) => byte === 0)) return 'blank';
  if (!sealed(sector, at) || sector.toString('latin1', 0, 8) !== MAGIC_SLOT) return null;
  const name = readText(sector, 32);
  const hardState = { term: term(readU64(sector, 24)), votedFor: name === '' ? null : (name as MemberId) };
  if (name !== '' && !isName(name)) return null;
  return { stream: streamId(sector.readUInt32LE(16)), sequence: readU64(sector, 8), hardState };
}

// ---------------------------------------------------------------------------------------------- file

interface Place {
  /** Of the first of its two slots. */
  readonly offset: number;
  sequence: number;
}

/**
 * Opens the copy in `folder` of the disk, or makes an empty one. Rejects with WalError: `foreign`, `version` or `device`; damage is
 * told by `recovered`, and is repaired by the next write of each stream.
 */
export async function openHardStateCopy(disk: Disk, identity: WalIdentity): Promise<HardStateCopy> {
  try {
    const found = await readFile(disk, identity);
    await removeIfThere(disk, TEMPORARY_FILE);
    return new FileCopy(disk, identity, found.recovered, found.places);
  } catch (error) {
    throw error instanceof DiskError ? deviceFailure(error, labelOf(disk, HARD_STATE_FILE), 0) : error;
  }
}

interface Found {
  readonly recovered: Recovered;
  /** null: the file is not there, or must be made anew. */
  readonly places: Map<StreamId, Place> | null;
}

async function readFile(disk: Disk, identity: WalIdentity): Promise<Found> {
  const none: Found = { recovered: { kind: 'sound', states: new Map(), segment: 0 }, places: null };
  if (!(await disk.list('')).includes(HARD_STATE_FILE)) return none;
  const file = await disk.open(HARD_STATE_FILE, { create: false });
  try {
    return readSlots(asBuffer(await file.read(0, await file.size())), labelOf(disk, HARD_STATE_FILE), identity);
  } finally {
    await file.close();
  }
}

function readSlots(bytes: Buffer, label: string, identity: WalIdentity): Found {
  const damaged = (offset: number, problem: string): Found => ({
    recovered: { kind: 'damaged', file: label, offset, problem },
    places: null,
  });
  const header = bytes.subarray(0, SECTOR_BYTES);
  if (!sealed(header, 0) || header.toString('latin1', 0, 8) !== MAGIC_FILE)
    return damaged(0, 'its header is not intact');
  refuseOther(header, label, identity);
  if (bytes.length % SECTOR_BYTES !== 0) return damaged(bytes.length, 'it ends in the middle of a slot');
  const states = new Map<StreamId, HardState>();
  const places = new Map<StreamId, Place>();
  for (let at = SECTOR_BYTES; at < bytes.length; at += 2 * SECTOR_BYTES) {
    const slots: HardStateSlot[] = [];
    for (const offset of [at, at + SECTOR_BYTES]) {
      const slot = decodeSlot(bytes.subarray(offset, offset + SECTOR_BYTES), offset);
      if (slot === null) return damaged(offset, 'a hard state in it is not intact');
      if (slot === 'blank') continue;
      if (offset !== slotOffset(at, slot.sequence)) return damaged(offset, 'a hard state in it is in the wrong place');
      slots.push(slot);
    }
    const newest = slots.sort((a, b) => b.sequence - a.sequence)[0];
    if (newest === undefined) continue;
    if (states.has(newest.stream)) return damaged(at, 'it holds a stream twice');
    if (slots.length === 1 && newest.sequence > 1) return damaged(at, 'the other one of two hard states is gone');
    if (slots.some(({ stream, sequence }) => stream !== newest.stream || newest.sequence - sequence > 1)) {
      return damaged(at, 'two hard states in it do not belong together');
    }
    states.set(newest.stream, newest.hardState);
    places.set(newest.stream, { offset: at, sequence: newest.sequence });
  }
  const segment = states.get(LOG_ITSELF)?.term ?? 0;
  states.delete(LOG_ITSELF);
  return { recovered: { kind: 'sound', states, segment }, places };
}

function refuseOther(header: Buffer, label: string, identity: WalIdentity): void {
  const version = header.readUInt32LE(8);
  if (version !== FORMAT_VERSION) {
    const advice = 'Start the version of quorate that wrote it, or a later one.';
    throw new WalError('version', label, 0, `${label} has format version ${version}. ${advice}`);
  }
  const [cluster, member] = [readText(header, 16), readText(header, 16 + 1 + NAME_BYTES_MAX)];
  if (cluster === identity.clusterId && member === identity.memberId) return;
  throw new WalError(
    'foreign',
    label,
    0,
    `${label} belongs to member ${member} of cluster ${cluster}, but this is member ${identity.memberId} of cluster ` +
      `${identity.clusterId}. Set the data folder of this member.`,
  );
}

/** HC1 */
function slotOffset(first: number, sequence: number): number {
  return first + (sequence % 2 === 1 ? 0 : SECTOR_BYTES);
}

class FileCopy implements HardStateCopy {
  readonly recovered: Recovered;
  readonly #disk: Disk;
  readonly #identity: WalIdentity;
  /** null: a new file has to be made. */
  #places: Map<StreamId, Place> | null;
  #file: DiskFile | null = null;
  /** What is written, for a file that is made anew. */
  #tail: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(disk: Disk, identity: WalIdentity, recovered: Recovered, places: Map<StreamId, Place> | null) {
    this.#disk = disk;
    this.#identity = identity;
    this.recovered = recovered;
    this.#places = places;
  }

  write(stream: StreamId, hardState: HardState): Promise<void> {
    assert(!this.#closed, 'the copy is open');
    this.#tail = this.#tail.then(() => this.#write(stream, hardState));
    this.#tail.catch(() => undefined);
    return this.#tail;
  }

  noteSegment(sequence: number): Promise<void> {
    return this.write(LOG_ITSELF, { term: term(sequence), votedFor: null });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#tail.catch(() => undefined);
    await this.#file?.close();
    this.#file = null;
  }

  async #write(stream: StreamId, hardState: HardState): Promise<void> {
    try {
      if (this.#places === null) await this.#make(stream, hardState);
      else await this.#writeSlot(this.#places, stream, hardState);
    } catch (error) {
      throw deviceFailure(error, labelOf(this.#disk, HARD_STATE_FILE), 0);
    }
  }

  async #writeSlot(places: Map<StreamId, Place>, stream: StreamId, hardState: HardState): Promise<void> {
    this.#file ??= await this.#disk.open(HARD_STATE_FILE, { create: false });
    const known = places.get(stream);
    const place = known ?? { offset: SECTOR_BYTES * (1 + 2 * places.size), sequence: 0 };
    if (known === undefined) await this.#file.allocate(place.offset + 2 * SECTOR_BYTES);
    const sequence = place.sequence + 1;
    const offset = slotOffset(place.offset, sequence);
    await this.#file.write(offset, encodeSlot({ stream, sequence, hardState }, offset));
    await this.#file.sync();
    place.sequence = sequence;
    places.set(stream, place);
  }

  /** Whole before it gets its name. */
  async #make(stream: StreamId, hardState: HardState): Promise<void> {
    await removeIfThere(this.#disk, TEMPORARY_FILE);
    const file = await this.#disk.open(TEMPORARY_FILE, { create: true });
    try {
      await file.allocate(3 * SECTOR_BYTES);
      await file.write(0, encodeHeader(this.#identity));
      await file.write(SECTOR_BYTES, encodeSlot({ stream, sequence: 1, hardState }, SECTOR_BYTES));
      await file.sync();
    } finally {
      await file.close();
    }
    await this.#disk.rename(TEMPORARY_FILE, HARD_STATE_FILE);
    await this.#disk.syncFolder('');
    this.#places = new Map([[stream, { offset: SECTOR_BYTES, sequence: 1 }]]);
  }
}

/** The newer of two hard states of one stream; null when they contradict one another: two votes in one term. */
export function newerHardState(a: HardState, b: HardState): HardState | null {
  if (a.term !== b.term) return a.term > b.term ? a : b;
  if (a.votedFor !== null && b.votedFor !== null && a.votedFor !== b.votedFor) return null;
  return a.votedFor === null ? b : a;
}

export function sameHardState(a: HardState, b: HardState): boolean {
  return a.term === b.term && a.votedFor === b.votedFor;
}
