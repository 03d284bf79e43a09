/**
 * gRPC method definitions from generated protobuf descriptors: grpc-js speaks in serialise functions, the generated
 * code in schemas. Used by both ends of the client port and of the peer port.
 */
import type { DescMessage, DescMethod, DescService, Message, MessageShape } from '@bufbuild/protobuf';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import type { GenService, GenServiceMethods } from '@bufbuild/protobuf/codegenv2';
import type { MethodDefinition } from '@grpc/grpc-js';

/** The type of a service, as `ServiceShape<typeof PhaseService>`: method descriptors by their camelCase name. */
export type ServiceShape<Service> = Service extends GenService<infer Methods> ? Methods : never;

type MessageOf<Schema> = Schema extends DescMessage ? MessageShape<Schema> : never;
/** Request and response types of a method, as `RequestOf<typeof PhaseService.method.beginPhase>`. */
export type RequestOf<Method> = Method extends { readonly input: infer Input } ? MessageOf<Input> : never;
export type ResponseOf<Method> = Method extends { readonly output: infer Output } ? MessageOf<Output> : never;

/** Definitions for grpc-js, typed by message. The keys are the camelCase names that a service's handlers go by. */
export type TypedDefinition<Methods> = {
  readonly [Name in keyof Methods]: MethodDefinition<RequestOf<Methods[Name]>, ResponseOf<Methods[Name]>>;
};

/**
 * For servers: requests arrive undecoded, so that the handler decides what to answer to bytes that are no message
 * (grpc-js would say INTERNAL); responses are encoded by {@link encodeMessage} beforehand.
 */
export type RawDefinition<Methods> = { readonly [Name in keyof Methods]: MethodDefinition<Buffer, Buffer> };

/** Encodes for grpc-js, which wants a Buffer; shares the bytes, copies nothing. */
export function encodeMessage<Schema extends DescMessage>(schema: Schema, message: MessageShape<Schema>): Buffer {
  const bytes = toBinary(schema, message);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Decodes from grpc-js. `bytes` fields share the memory of `buffer`. Throws on bytes that are no such message. */
export function decodeMessage<Schema extends DescMessage>(schema: Schema, buffer: Buffer): MessageShape<Schema> {
  // A plain view: byte fields of the message are Uint8Array then, not Buffer.
  return fromBinary(schema, new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength));
}

/** As {@link decodeMessage}; fields that this version does not know are not kept: each would be objects many times its size. */
export function decodeKnown<Schema extends DescMessage>(schema: Schema, buffer: Buffer): MessageShape<Schema> {
  const bytes = new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  return fromBinary(schema, bytes, { readUnknownFields: false });
}

/** `/package.Service/Method` */
export function methodPath(method: { readonly name: string; readonly parent: { readonly typeName: string } }): string {
  return `/${method.parent.typeName}/${method.name}`;
}

/** One method, for `client.makeUnaryRequest` and its like. */
export function methodDefinition<Method extends DescMethod>(
  method: Method,
): MethodDefinition<RequestOf<Method>, ResponseOf<Method>> {
  const { input, output } = method;
  return {
    ...shapeOf(method),
    requestSerialize: (message) => encodeMessage(input, message as Message),
    requestDeserialize: (buffer) => decodeMessage(input, buffer) as RequestOf<Method>,
    responseSerialize: (message) => encodeMessage(output, message as Message),
    responseDeserialize: (buffer) => decodeMessage(output, buffer) as ResponseOf<Method>,
  };
}

/** All methods of a service, typed: for clients and for tests. */
export function typedDefinition<Methods extends GenServiceMethods>(
  service: GenService<Methods>,
): TypedDefinition<Methods> {
  return byName(service, methodDefinition) as TypedDefinition<Methods>;
}

/** All methods of a service, passing bytes through: for servers. */
export function rawDefinition<Methods extends GenServiceMethods>(service: GenService<Methods>): RawDefinition<Methods> {
  return byName(service, rawMethod) as RawDefinition<Methods>;
}

function rawMethod(method: DescMethod): MethodDefinition<Buffer, Buffer> {
  return {
    ...shapeOf(method),
    requestSerialize: passThrough,
    requestDeserialize: passThrough,
    responseSerialize: passThrough,
    responseDeserialize: passThrough,
  };
}

function passThrough(buffer: Buffer): Buffer {
  return buffer;
}

function shapeOf(method: DescMethod): { path: string; requestStream: boolean; responseStream: boolean } {
  return {
    path: methodPath(method),
    requestStream: method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming',
    responseStream: method.methodKind === 'server_streaming' || method.methodKind === 'bidi_streaming',
  };
}

function byName<T>(service: { readonly methods: DescService['methods'] }, build: (method: DescMethod) => T): object {
  return Object.fromEntries(service.methods.map((method) => [method.localName, build(method)]));
}
