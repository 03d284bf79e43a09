/** Requests as bytes: what the generated encoder would never produce, field by field, from the descriptors. */
import type { DescField, DescMessage, DescMethod, DescService } from '@bufbuild/protobuf';
import { create, ScalarType, toBinary } from '@bufbuild/protobuf';
import { type ReflectMessage, reflect } from '@bufbuild/protobuf/reflect';
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { AvailabilityService } from '../../src/gen/quorate/v1/availability_pb.ts';
import { ClusterService } from '../../src/gen/quorate/v1/cluster_pb.ts';
import { DocumentService } from '../../src/gen/quorate/v1/document_pb.ts';
import { IssueService } from '../../src/gen/quorate/v1/issue_pb.ts';
import { LedgerService } from '../../src/gen/quorate/v1/ledger_pb.ts';
import { MaintenanceService } from '../../src/gen/quorate/v1/maintenance_pb.ts';
import { MembershipService } from '../../src/gen/quorate/v1/membership_pb.ts';
import { OverrideService } from '../../src/gen/quorate/v1/override_pb.ts';
import { PhaseService } from '../../src/gen/quorate/v1/phase_pb.ts';
import { PolicyService } from '../../src/gen/quorate/v1/policy_pb.ts';
import { RecoveryService } from '../../src/gen/quorate/v1/recovery_pb.ts';
import { SessionService } from '../../src/gen/quorate/v1/session_pb.ts';
import { WatchService } from '../../src/gen/quorate/v1/watch_pb.ts';

const SERVICES: readonly DescService[] = [
  PhaseService,
  SessionService,
  WatchService,
  ClusterService,
  MembershipService,
  MaintenanceService,
  RecoveryService,
  IssueService,
  PolicyService,
  DocumentService,
  LedgerService,
  OverrideService,
  AvailabilityService,
];
/** Every method of the public API but for the streams of workers: see outside.test.ts. */
export const METHODS: readonly DescMethod[] = SERVICES.flatMap((service) => service.methods);

export function methodNamed(name: string): DescMethod {
  const found = METHODS.find((method) => method.name === name);
  if (found === undefined) throw new Error(`the API has no method ${name}`);
  return found;
}

/** A field at any depth of a request, with the message fields that lead to it. */
export interface FieldAt {
  /** `header.session_id`, as violations name it, without the positions in lists. */
  readonly path: string;
  readonly field: DescField;
  readonly parents: readonly DescField[];
}

/** Every field of a message, those of its messages included. A wrapper counts as the value that it wraps. */
export function fieldsOf(desc: DescMessage, parents: readonly DescField[] = []): FieldAt[] {
  return desc.fields.flatMap((field) => {
    const path = [...parents, field].map((one) => one.name).join('.');
    const at = { path, field, parents };
    const inner = field.message;
    return inner === undefined || isWrapper(inner) ? [at] : [at, ...fieldsOf(inner, [...parents, field])];
  });
}

export function isWrapper(desc: DescMessage): boolean {
  return desc.typeName.startsWith('google.protobuf.') && desc.typeName.endsWith('Value');
}

/** Has the field text in it? Directly, or wrapped. */
export function isText({ field }: FieldAt): boolean {
  if (field.message !== undefined)
    return isWrapper(field.message) && field.message.fields[0]?.scalar === ScalarType.STRING;
  return field.scalar === ScalarType.STRING;
}

export function isLengthDelimited({ field }: FieldAt): boolean {
  return field.message !== undefined || field.scalar === ScalarType.STRING || field.scalar === ScalarType.BYTES;
}

/** `value` as the content of the field, inside its parents: appended to a request it merges with what is there. */
export function encodedAt(at: FieldAt, wireType: WireType, value: Uint8Array): Uint8Array {
  let bytes = new BinaryWriter().tag(at.field.number, wireType).raw(value).finish();
  for (const parent of [...at.parents].reverse()) {
    bytes = new BinaryWriter().tag(parent.number, WireType.LengthDelimited).bytes(bytes).finish();
  }
  return bytes;
}

export function textBytes(at: FieldAt, text: Uint8Array): Uint8Array {
  const wrapped =
    at.field.message === undefined ? text : new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(text).finish();
  return encodedAt(at, WireType.LengthDelimited, new BinaryWriter().bytes(wrapped).finish());
}

/** One field of each wire type that no message here knows. */
export function unknownFields(): Uint8Array {
  return new BinaryWriter()
    .tag(1000, WireType.Varint)
    .uint64(2n ** 64n - 1n)
    .tag(1001, WireType.Bit64)
    .fixed64(7n)
    .tag(1002, WireType.LengthDelimited)
    .bytes(new Uint8Array([0xff, 0x00, 0xfe]))
    .tag(1003, WireType.Bit32)
    .fixed32(7)
    .tag(1004, WireType.StartGroup)
    .tag(1, WireType.Varint)
    .uint32(1)
    .tag(1004, WireType.EndGroup)
    .finish();
}

/** Unknown fields at the top and in every message that is not repeated (there they would be an element more). */
export function unknownFieldsEverywhere(desc: DescMessage): Uint8Array {
  const nested = fieldsOf(desc).filter(
    ({ field, parents }) => field.fieldKind === 'message' && parents.every((parent) => parent.fieldKind === 'message'),
  );
  const inner = new BinaryWriter().bytes(unknownFields()).finish();
  return Buffer.concat([unknownFields(), ...nested.map((at) => encodedAt(at, WireType.LengthDelimited, inner))]);
}

/** Offsets in `bytes` where a top-level field ends: cut there, it is a whole message still. */
export function fieldEnds(bytes: Uint8Array): ReadonlySet<number> {
  const ends = new Set([0]);
  const reader = new BinaryReader(bytes);
  while (reader.pos < bytes.length) {
    const [, wireType] = reader.tag();
    // Requests have no other wire types at the top.
    if (wireType === WireType.Varint) reader.uint64();
    else reader.bytes();
    ends.add(reader.pos);
  }
  return ends;
}

/** A request with some fields replaced. Keys are paths such as `plan.phases[0].name`; values go in by reflection. */
export function requestWith(desc: DescMessage, base: object, set: Readonly<Record<string, unknown>>): Uint8Array {
  const message = create(desc, base as never);
  for (const [path, value] of Object.entries(set)) assign(reflect(desc, message, false), path.split('.'), value);
  return toBinary(desc, message);
}

function assign(target: ReflectMessage, path: readonly string[], value: unknown): void {
  const [head = '', ...rest] = path;
  const [, name, position] = /^(\w+)(?:\[(\d+)\])?$/.exec(head) ?? [];
  const field = target.fields.find((one) => one.name === name);
  if (field === undefined) throw new Error(`${target.desc.typeName} has no field ${head}`);
  const message = target.message as unknown as Record<string, unknown>;
  if (field.oneof !== undefined) {
    const { case: chosen, value: inside } = message[field.oneof.localName] as { case?: string; value?: unknown };
    if (chosen !== field.localName || field.message === undefined) throw new Error(`the request has no ${name} here`);
    assign(reflect(field.message, inside as never, false), rest, value);
    return;
  }
  if (rest.length === 0) {
    message[field.localName] = value;
    return;
  }
  const inner =
    position === undefined ? message[field.localName] : (message[field.localName] as unknown[])[Number(position)];
  if (field.message === undefined) throw new Error(`${head} is no message`);
  assign(reflect(field.message, inner as never, false), rest, value);
}
