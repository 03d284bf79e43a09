/**
 * Commands of feature level 3 ⇄ messages of `domain.proto`, by reflection: the messages have the names of the domain's fields,
 * so that a command needs its type and its message and nothing in between. What stands for what:
 *
 *   uint64               a safe number; anything else is a fault
 *   optional             null where it is absent
 *   repeated CausalEntry a vector clock: sorted by node, counters from 1
 *   TextList             a list of texts, where it may be absent
 *
 * That types and messages agree is checked when the tests encode and decode each command (test/codec/domain.test.ts).
 */
import type { DescField, DescMessage } from '@bufbuild/protobuf';
import {
  CausalEntrySchema,
  file_quorate_internal_v1_domain,
  TextListSchema,
} from '../gen/quorate/internal/v1/domain_pb.ts';
import { type Command as CommandMessage, CommandSchema } from '../gen/quorate/internal/v1/log_pb.ts';
import type { CommandBody, DomainCommand } from '../machine/types.ts';
import { assert, must } from '../types/assert.ts';
import { type DecodeFaults, toUint64 } from './number.ts';

type MessageBody = CommandMessage['body'];
type Fields = Readonly<Record<string, unknown>>;

/** The message of each case of the command's body that is of domain.proto. */
const MESSAGES: ReadonlyMap<string, DescMessage> = new Map(
  CommandSchema.fields.flatMap((field) =>
    field.fieldKind === 'message' && field.message.file === file_quorate_internal_v1_domain
      ? [[field.localName, field.message] as const]
      : [],
  ),
);

export type DomainCase = Extract<MessageBody, { case: DomainCommand['kind'] }>;

export function isDomainCase(body: MessageBody): body is DomainCase {
  return body.case !== undefined && MESSAGES.has(body.case);
}

export function isDomainCommand(body: CommandBody): body is DomainCommand {
  return MESSAGES.has(body.kind);
}

export function domainToMessage(body: DomainCommand): DomainCase {
  const message = must(MESSAGES.get(body.kind), `no message for command ${body.kind}`);
  return { case: body.kind, value: toMessage(message, body as unknown as Fields) } as unknown as DomainCase;
}

/** Null where a part is of a kind that this release does not know. */
export function domainFromMessage(body: DomainCase, faults: DecodeFaults): DomainCommand {
  const message = must(MESSAGES.get(body.case), `no command for message ${body.case}`);
  const fields = fromMessage(message, body.value as unknown as Fields, faults);
  return { kind: body.case, ...fields } as unknown as DomainCommand;
}

function toMessage(message: DescMessage, value: Fields): Fields {
  const made: Record<string, unknown> = { $typeName: message.typeName };
  for (const field of message.fields) {
    const given = value[field.localName];
    assert(given !== undefined, `${message.name}.${field.localName} is missing`);
    if (given === null) assert(isOptional(field), `${message.name}.${field.localName} is null`);
    else made[field.localName] = toField(field, given);
  }
  return made;
}

/** `optional` in the file: a field that may be absent. */
function isOptional(field: DescField): boolean {
  return field.proto.proto3Optional === true;
}

function toField(field: DescField, value: unknown): unknown {
  switch (field.fieldKind) {
    case 'scalar':
      return typeof value === 'number' && isUint64(field) ? toUint64(value) : value;
    case 'list':
      if (field.listKind !== 'message') return [...(value as readonly string[])];
      if (field.message === CausalEntrySchema) {
        return (value as readonly (readonly [string, number])[]).map(([node, counter]) => ({
          $typeName: CausalEntrySchema.typeName,
          node,
          counter: toUint64(counter),
        }));
      }
      return (value as readonly Fields[]).map((item) => toMessage(field.message, item));
    case 'message':
      if (field.message === TextListSchema) return { $typeName: TextListSchema.typeName, values: value };
      return toMessage(field.message, value as Fields);
    default:
      throw new TypeError(`${field.localName}: kind ${field.fieldKind} is not used in domain.proto`);
  }
}

function isUint64(field: Extract<DescField, { fieldKind: 'scalar' }>): boolean {
  return field.proto.type === 4;
}

function fromMessage(message: DescMessage, value: Fields, faults: DecodeFaults): Fields {
  const made: Record<string, unknown> = {};
  for (const field of message.fields) {
    const given = value[field.localName];
    if (given !== undefined) made[field.localName] = fromField(field, given, faults);
    else if (isOptional(field)) made[field.localName] = null;
    else {
      faults.report(`${message.name}.${field.name} is missing`);
      made[field.localName] = field.fieldKind === 'message' ? fromMessage(field.message, EMPTY, faults) : null;
    }
  }
  return made;
}

const EMPTY: Fields = {};

function fromField(field: DescField, value: unknown, faults: DecodeFaults): unknown {
  switch (field.fieldKind) {
    case 'scalar':
      return typeof value === 'bigint' ? faults.number(field.name, value) : value;
    case 'list':
      if (field.listKind !== 'message') return value;
      if (field.message === CausalEntrySchema)
        return clockFrom(value as readonly { node: string; counter: bigint }[], faults);
      return (value as readonly Fields[]).map((item) => fromMessage(field.message, item, faults));
    case 'message':
      if (field.message === TextListSchema) return (value as { values: readonly string[] }).values;
      return fromMessage(field.message, value as Fields, faults);
    default:
      throw new TypeError(`${field.localName}: kind ${field.fieldKind} is not used in domain.proto`);
  }
}

/** Sorted by node, without duplicates, with counters from 1 (P8); anything else is a fault. */
export function clockFrom(
  entries: readonly { readonly node: string; readonly counter: bigint }[],
  faults: DecodeFaults,
): readonly (readonly [string, number])[] {
  let previous: string | null = null;
  return entries.map(({ node, counter }) => {
    if (previous !== null && node <= previous) faults.report('vector_clock is not sorted by node');
    previous = node;
    return [node, faults.number('vector_clock.counter', counter, 1)] as const;
  });
}
