/** What is asked about documents and effects: requests in order, and what is refused of their fields. */
import { createHash } from 'node:crypto';
import * as limits from '../../src/types/limits.ts';
import { clock, consistency, header, label, name, numbers, page, ref, refFields, text, token } from './field-rows.ts';
import type { Row } from './member-rows.ts';

const CONTENT = '{"a":1}';

interface Parts {
  readonly header: object;
  readonly ref: { readonly loop: string };
  readonly fencingToken: bigint;
  readonly vectorClock: object;
  readonly page: object;
}

export function documentBases({ header: head, ref: run, ...parts }: Parts): Record<string, object> {
  const { fencingToken, vectorClock, page: onePage } = parts;
  const { loop } = run;
  const byRun = { header: head, ref: run, fencingToken };
  return {
    PutDocument: {
      ...byRun,
      loop,
      name: 'd',
      expectedVersion: 0n,
      content: CONTENT,
      sha256: createHash('sha256').update(CONTENT).digest('hex'),
      schema: '{}',
      causalFields: { pointers: ['/a'] },
      vectorClock,
    },
    DeleteDocument: { ...byRun, loop, name: 'd', expectedVersion: 1n, vectorClock },
    // It was there when the run was begun.
    GetDocument: { loop, name: 'kept', ofRun: run, knownClock: vectorClock, consistency: 1 },
    ListDocuments: { ...onePage, loop },
    ListDocumentVersions: { loop, name: 'kept', consistency: 1 },
    DecommissionNode: { header: head, node: 'gone' },
    RecordIntent: {
      ...byRun,
      key: 'k',
      description: 'd',
      compensator: { kind: 'worker', target: 'q', payload: 'p' },
      price: { region: '', currency: '', amount: '1.5' },
      resource: 'r',
      operation: 'create',
    },
    ConfirmEffect: { ...byRun, key: 'k', result: 'r' },
    WithdrawEffect: { ...byRun, key: 'k', reason: 'r' },
    ListEffects: { ...onePage, ref: run },
  };
}

function writer(): Row[] {
  const alone: Row = {
    name: 'a token of no run',
    field: 'fencing_token',
    set: { ref: undefined },
    says: /name the run that writes too, or neither/,
  };
  return [alone, ...refFields('ref'), ...token, ...clock()];
}

function causalFields(): Row[] {
  const field = 'causal_fields.pointers';
  const many = Array.from({ length: limits.CAUSAL_FIELDS_MAX + 1 }, (_, i) => `/${i}`);
  const long = `/${'x'.repeat(limits.CAUSAL_FIELD_LENGTH_MAX)}`;
  return [
    { name: 'too many causal fields', field, set: { [field]: many }, says: /send at most 64/ },
    { name: 'a causal field that is too long', field, set: { [field]: [long] }, says: /send at most 256/ },
  ];
}

function sha256(): Row[] {
  const says = /is not that of the content, which is [0-9a-f]{64}; send the content that it was made of/;
  return ['0'.repeat(64), '0', 'x'.repeat(100_000)].map((value) => {
    return { name: `sha256 ${value.slice(0, 3)}`, field: 'sha256', set: { sha256: value }, says };
  });
}

/** One version or the one at the begin of a run. */
const both: Row = { name: 'two versions', field: 'version', set: { version: 1n }, says: /send one of the two/ };
const elsewhere: Row = {
  name: 'a run of another loop',
  field: 'of_run.loop',
  set: { loop: 'in-order' },
  says: /name the same/,
};

function key(): Row[] {
  const empty = { name: 'no key', field: 'key', set: { key: '' }, says: /send 1 to 256 characters/ };
  return [empty, ...text('key', limits.EFFECT_KEY_LENGTH_MAX)];
}

function compensator(): Row[] {
  const says = /send the kind http, grpc or worker, and its target/;
  const kinds = ['', 'HTTP', 'shell', 'toString', 'x'.repeat(100_000)].map((kind) => {
    const field = 'compensator.kind';
    return { name: `a compensator of kind ${kind.slice(0, 10)}`, field, set: { [field]: kind }, says };
  });
  const target = 'compensator.target';
  return [
    { name: 'no compensator', field: 'compensator', set: { compensator: undefined }, says },
    ...kinds,
    { name: 'no target', field: target, set: { [target]: '' }, says: /send 1 to 2048 characters/ },
    ...text(target, limits.COMPENSATOR_TARGET_LENGTH_MAX),
    ...text('compensator.payload', limits.COMPENSATOR_PAYLOAD_LENGTH_MAX),
  ];
}

function price(): Row[] {
  const amounts = ['', '-1', '1e9', 'NaN', 'Infinity', '1,5', '0x10', ' 1', '1\n', '\u001b[31m1', '9'.repeat(64)];
  return [
    ...label('price.region'),
    ...label('price.currency'),
    ...text('price.amount', 64),
    ...amounts.map((amount) => ({
      name: `an amount of ${JSON.stringify(amount.slice(0, 20))}`,
      field: 'price',
      set: { 'price.amount': amount },
      // Control characters are shown as JSON has them.
      says: /^"[ -~]*" is no amount; send a decimal number/,
    })),
    {
      name: 'a currency without a rate',
      field: 'price',
      set: { 'price.currency': 'ZZZ' },
      says: /ZZZ/,
    },
  ];
}

function operation(): Row[] {
  return ['CREATE', 'update', 'x'.repeat(100_000)].map((value) => {
    const says = /send create, delete or ''/;
    return { name: `operation ${value.slice(0, 10)}`, field: 'operation', set: { operation: value }, says };
  });
}

export const DOCUMENT_ROWS: Readonly<Record<string, readonly Row[]>> = {
  PutDocument: [
    ...header('optional'),
    ...name('loop'),
    ...name('name'),
    ...numbers('expected_version', 0n),
    ...text('content', limits.DOCUMENT_LENGTH_MAX),
    ...sha256(),
    ...text('schema', limits.DOCUMENT_SCHEMA_LENGTH_MAX),
    { name: 'a schema that is none', field: 'schema', set: { schema: '{"type":"nothing"}' }, says: /./ },
    { name: 'a schema that is no JSON', field: 'schema', set: { schema: '{' }, says: /JSON/ },
    ...causalFields(),
    ...writer(),
  ],
  DeleteDocument: [
    ...header('optional'),
    ...name('loop'),
    ...name('name'),
    ...numbers('expected_version', 1n),
    ...writer(),
  ],
  GetDocument: [
    ...name('loop'),
    ...name('name'),
    ...numbers('version', 0n),
    both,
    elsewhere,
    ...refFields('of_run'),
    ...clock('known_clock'),
    ...consistency(),
  ],
  ListDocuments: [...name('loop'), ...page()],
  ListDocumentVersions: [...name('loop'), ...name('name'), ...consistency()],
  DecommissionNode: [
    ...header('optional'),
    { name: 'no node', field: 'node', set: { node: '' }, says: /send 1 to 128/ },
    ...label('node'),
  ],
  RecordIntent: [
    ...header('optional'),
    ...ref(),
    ...token,
    ...key(),
    ...text('description', limits.EFFECT_DESCRIPTION_LENGTH_MAX),
    ...compensator(),
    ...price(),
    ...text('resource', limits.RESOURCE_LENGTH_MAX),
    ...operation(),
  ],
  ConfirmEffect: [
    ...header('optional'),
    ...ref(),
    ...token,
    ...key(),
    ...text('result', limits.EFFECT_RESULT_LENGTH_MAX),
  ],
  WithdrawEffect: [
    ...header('optional'),
    ...ref(),
    ...token,
    ...key(),
    ...text('reason', limits.EFFECT_RESULT_LENGTH_MAX),
  ],
  ListEffects: [...ref(), ...page()],
};
