/**
 * Work that has nothing to do with the product and never changes, of the kind that the product does, with the same libraries: messages
 * to bytes and back, checksums, rows in maps that are larger than a cache, promises and turns of the event loop. How long it takes says
 * how fast this machine is right now.
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { sha256 } from '@noble/hashes/sha2';

const ROWS = 20_000;
/** A prime: rows come in an order of their own. */
const STRIDE = 7_919;
const COPIES = 3;
const TEXT = 'y'.repeat(128);

interface Row {
  readonly key: string;
  readonly text: string;
  readonly version: number;
  readonly hash: Uint8Array;
}

const rows = new Map<string, Row>();
/** Kept, so that nothing of the work can be left out. */
let total = 0;
let next = 0;

function messageOf(key: string, version: number): Uint8Array {
  const field = (name: string, number: number) => ({ name, number, typeName: TEXT, jsonName: key });
  return toBinary(
    FileDescriptorProtoSchema,
    create(FileDescriptorProtoSchema, {
      name: key,
      package: TEXT,
      dependency: ['one', 'two'],
      messageType: [{ name: key, field: [field('first', 1), field('second', version)] }],
    }),
  );
}

async function one(n: number): Promise<void> {
  const key = `key-${(n * STRIDE) % ROWS}`;
  const version = ((rows.get(key)?.version ?? 0) % 1_000) + 1;
  const bytes = messageOf(key, version);
  for (let copy = 0; copy < COPIES; copy += 1) {
    await undefined;
    const message = fromBinary(FileDescriptorProtoSchema, bytes);
    const hash = sha256(bytes.subarray(0, 64));
    rows.set(`${key}-${copy}`, { key, text: message.package, version, hash });
    total = (total + (hash[0] ?? 0)) % 2 ** 32;
  }
}

/** So many rounds, all at once. */
export async function calibrate(rounds: number): Promise<number> {
  const work: Promise<void>[] = [];
  for (let round = 0; round < rounds; round += 1) {
    next += 1;
    work.push(one(next));
  }
  await Promise.all(work);
  await new Promise((resolve) => setImmediate(resolve));
  return total;
}
