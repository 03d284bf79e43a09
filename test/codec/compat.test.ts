/** R9: bytes that release 0.1 wrote (`test/compat`) are read by this one, and mean the same. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { decodeCommand, encodeCommand } from '../../src/codec/command.ts';
import { decodeConfiguration, encodeConfiguration } from '../../src/codec/configuration.ts';
import { isDomainCommand } from '../../src/codec/domain.ts';
import { fromPeerEnvelope } from '../../src/codec/envelope.ts';
import { CommandSchema } from '../../src/gen/quorate/internal/v1/log_pb.ts';
import { PeerEnvelopeSchema } from '../../src/gen/quorate/internal/v1/peer_pb.ts';
import { createMachine, startLoading } from '../../src/machine/machine.ts';
import { Tables } from '../../src/machine/tables.ts';
import { logIndex, term } from '../../src/types/ids.ts';
import { Mirror } from '../machine/kit.ts';

interface Golden {
  readonly name: string;
  readonly hex: string;
  readonly value: Record<string, unknown>;
}

function golden(path: string): readonly Golden[] {
  const text = readFileSync(join(import.meta.dirname, '../compat', path), 'utf8');
  return JSON.parse(text, (_, value) => (isBytes(value) ? bytesOf(value.hex) : value)) as Golden[];
}

/** Bytes stand in these files as an object with one field. */
function isBytes(value: unknown): value is { hex: string } {
  return typeof value === 'object' && value !== null && Object.keys(value).join() === 'hex';
}

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex, 'hex'));
}

/** What fields that are newer than the bytes are read as. */
function withNewFields(value: Record<string, unknown>): unknown {
  const message = value.message as { kind?: string } | undefined;
  if (message?.kind?.startsWith('heartbeat') !== true) return value;
  return { ...value, message: { ...message, sentMs: 0 } };
}

describe('R9: commands of release 0.1', () => {
  it.each(golden('log-v1/commands.json'))('$name', ({ hex, value }) => {
    expect(decodeCommand(bytesOf(hex))).toEqual({ ok: true, value });
    // The machine may compare and hash what it read: the encoding has not changed either.
    expect(Buffer.from(encodeCommand(value as never)).toString('hex')).toBe(hex);
  });
});

describe('R9: envelopes of release 0.1', () => {
  it.each(golden('peer-v1/envelopes.json'))('$name', ({ hex, value }) => {
    const decoded = fromPeerEnvelope(fromBinary(PeerEnvelopeSchema, bytesOf(hex)));
    expect(decoded).toEqual({ ok: true, value: withNewFields(value) });
  });
});

describe('R9: what feature level 2 brought', () => {
  it.each(golden('log-v2/commands.json'))('command $name', ({ hex, value }) => {
    expect(decodeCommand(bytesOf(hex))).toEqual({ ok: true, value });
    expect(Buffer.from(encodeCommand(value as never)).toString('hex')).toBe(hex);
  });

  it.each(golden('log-v2/configurations.json'))('configuration: $name', ({ hex, value }) => {
    expect(decodeConfiguration(bytesOf(hex))).toEqual(value);
    expect(Buffer.from(encodeConfiguration(value as never)).toString('hex')).toBe(hex);
  });

  it.each(golden('peer-v2/envelopes.json'))('envelope $name', ({ hex, value }) => {
    expect(fromPeerEnvelope(fromBinary(PeerEnvelopeSchema, bytesOf(hex)))).toEqual({ ok: true, value });
  });
});

describe('R9: what feature level 3 brought', () => {
  it.each(golden('log-v3/commands.json'))('command $name', ({ hex, value }) => {
    expect(decodeCommand(bytesOf(hex))).toEqual({ ok: true, value });
    expect(Buffer.from(encodeCommand(value as never)).toString('hex')).toBe(hex);
  });

  it('every command of the level is among them', () => {
    const named = new Set(golden('log-v3/commands.json').map(({ name }) => name));
    expect([...named].filter((name) => !isDomainCommand({ kind: name } as never)).sort()).toEqual([
      'beginPhase',
      'reportProgress',
    ]);
    const fields = CommandSchema.fields.map(({ localName }) => localName);
    expect(fields.filter((name) => isDomainCommand({ kind: name } as never) && !named.has(name))).toEqual([]);
  });

  it.each(golden('peer-v3/envelopes.json'))('envelope $name', ({ hex, value }) => {
    expect(fromPeerEnvelope(fromBinary(PeerEnvelopeSchema, bytesOf(hex)))).toEqual({ ok: true, value });
  });
});

interface GoldenHistory {
  readonly stateHash: string;
  readonly entries: readonly { readonly term: number; readonly hex: string | null }[];
  readonly rows: readonly (readonly [table: string, key: string, value: string])[];
}

describe('R9: a state of feature level 3', () => {
  const file = join(import.meta.dirname, '../compat/log-v3/history.json');
  const { stateHash, entries, rows } = JSON.parse(readFileSync(file, 'utf8')) as GoldenHistory;
  const sorted = (some: Iterable<readonly [string, string, string]>): readonly string[] =>
    [...some].map((row) => JSON.stringify(row)).sort();

  it('has rows in every table', () => {
    const named = new Set(rows.map(([table]) => table));
    const all = new Tables().all.map(({ name }) => name);
    expect(all.filter((name) => !named.has(name))).toEqual([]);
  });

  it('comes of the log that it came of: each entry still does what it did, and leaves the same rows', () => {
    const machine = createMachine();
    const mirror = new Mirror();
    for (const { term: of, hex } of entries) {
      const decoded = hex === null ? null : decodeCommand(bytesOf(hex));
      if (decoded?.ok === false) throw new Error(decoded.error);
      const command = decoded === null ? null : decoded.value;
      machine.apply({ index: logIndex(machine.appliedIndex + 1), term: term(of), command });
      mirror.take(machine);
    }
    expect(machine.stateHash()).toBe(stateHash);
    const left = [...mirror.rows.values()].map(({ table, key, value }) => [table, key, value] as const);
    expect(sorted(left)).toEqual(sorted(rows));
  });

  it('is loaded from its rows', () => {
    const loader = startLoading();
    loader.add(rows.map(([table, key, value]) => ({ table, key, value })));
    const machine = loader.finish(logIndex(entries.length));
    expect(machine.stateHash()).toBe(stateHash);
    expect(machine.run('golden', 1, 'ANALYZE')).toMatchObject({ state: 'FAILED_PARTIAL', abortReason: 'why' });
  });
});
