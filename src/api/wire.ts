/**
 * Is every field of a message sent in the wire type that its declaration says, and within its parent's bounds?
 *
 * The generated decoder does not ask: it reads a field by its declaration and takes what follows for further fields, so
 * that a number sent in the wrong type would be carried out as another number. Protobuf lets a parser treat such a field
 * as unknown; here the caller hears of it instead.
 */
import type { DescField, DescMessage } from '@bufbuild/protobuf';
import { ScalarType } from '@bufbuild/protobuf';
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';

interface FieldShape {
  readonly name: string;
  readonly wireType: WireType;
  /** A repeated number: may also come packed. */
  readonly packable: boolean;
  readonly message: DescMessage | null;
}

const WIRE_TYPE_NAMES: Readonly<Record<WireType, string>> = {
  [WireType.Varint]: 'varint',
  [WireType.Bit64]: '64-bit',
  [WireType.LengthDelimited]: 'length-delimited',
  [WireType.StartGroup]: 'group',
  [WireType.EndGroup]: 'end of group',
  [WireType.Bit32]: '32-bit',
};

const shapes = new WeakMap<DescMessage, ReadonlyMap<number, FieldShape>>();

/** null, or which field is wrong and how. Throws, as the decoder does, on bytes that are no protobuf at all. */
export function wireFault(desc: DescMessage, bytes: Uint8Array): string | null {
  return walk(desc, new BinaryReader(bytes), bytes, bytes.length, '');
}

function walk(desc: DescMessage, reader: BinaryReader, bytes: Uint8Array, end: number, parents: string): string | null {
  const fields = shapesOf(desc);
  while (reader.pos < end) {
    let number = 0;
    let wireType: WireType = WireType.Varint;
    const first = bytes[reader.pos] as number;
    if (first < 0x80 && first >= 8 && (first & 7) <= WireType.Bit32) {
      // Nearly every tag is one byte, and read here without the array that the reader makes for it.
      number = first >>> 3;
      wireType = first & 7;
      reader.pos += 1;
    } else [number, wireType] = reader.tag();
    const field = fields.get(number);
    if (field === undefined) {
      reader.skip(wireType, number);
    } else {
      const fault = fieldFault(field, reader, bytes, end, wireType, parents);
      if (fault !== null) return fault;
    }
    if (reader.pos > end) return `${parents}${field?.name ?? `field ${number}`} is cut off`;
  }
  return null;
}

function fieldFault(
  field: FieldShape,
  reader: BinaryReader,
  bytes: Uint8Array,
  end: number,
  wireType: WireType,
  parents: string,
): string | null {
  if (wireType !== field.wireType && !(field.packable && wireType === WireType.LengthDelimited)) {
    return `${parents}${field.name} came as ${WIRE_TYPE_NAMES[wireType]}, its type is ${WIRE_TYPE_NAMES[field.wireType]}`;
  }
  if (wireType !== WireType.LengthDelimited) {
    if (wireType === WireType.Varint && (bytes[reader.pos] ?? 0x80) < 0x80) reader.pos += 1;
    else reader.skip(wireType);
    return null;
  }
  const length = reader.uint32();
  const fieldEnd = reader.pos + length;
  if (fieldEnd > end) return `${parents}${field.name} is cut off`;
  // The paths of messages only: they are few, and a report may hold a thousand of other fields.
  if (field.message !== null) return walk(field.message, reader, bytes, fieldEnd, `${parents}${field.name}.`);
  reader.pos = fieldEnd;
  return null;
}

function shapesOf(desc: DescMessage): ReadonlyMap<number, FieldShape> {
  const known = shapes.get(desc);
  if (known !== undefined) return known;
  const made = new Map(desc.fields.map((field) => [field.number, shapeOf(field)]));
  shapes.set(desc, made);
  return made;
}

function shapeOf(field: DescField): FieldShape {
  const { name } = field;
  const scalar = field.scalar ?? (field.enum === undefined ? undefined : ScalarType.INT32);
  // Maps are messages of key and value; what is in them is left to the decoder.
  const wireType = scalar === undefined || field.fieldKind === 'map' ? WireType.LengthDelimited : wireTypeOf(scalar);
  const packable = field.fieldKind === 'list' && wireType !== WireType.LengthDelimited;
  return { name, wireType, packable, message: field.fieldKind === 'map' ? null : (field.message ?? null) };
}

function wireTypeOf(scalar: ScalarType): WireType {
  switch (scalar) {
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return WireType.LengthDelimited;
    case ScalarType.DOUBLE:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return WireType.Bit64;
    case ScalarType.FLOAT:
    case ScalarType.FIXED32:
    case ScalarType.SFIXED32:
      return WireType.Bit32;
    default:
      return WireType.Varint;
  }
}
