/** Server reflection, v1 and v1alpha, so that grpcurl and generic clients need no proto files. */
import type { DescFile } from '@bufbuild/protobuf';
import { toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import type { Server } from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';
import { service as healthService } from 'grpc-health-check';

type PackageDefinition = ConstructorParameters<typeof ReflectionService>[0];

/** Announces the services in `files`, and the health service; `files` bring what they import. */
export function addReflection(server: Server, files: readonly DescFile[]): void {
  const known = new Map<string, DescFile>();
  for (const file of files) collect(file, known);
  const descriptors = [...known.values()].map((file) => Buffer.from(toBinary(FileDescriptorProtoSchema, file.proto)));
  const definition: PackageDefinition = {
    quorate: { format: 'Protocol Buffer 3 DescriptorProto', type: {}, fileDescriptorProtos: descriptors },
    health: { format: 'Protocol Buffer 3 DescriptorProto', type: {}, fileDescriptorProtos: healthDescriptors() },
  };
  new ReflectionService(definition).addToServer(server);
}

function collect(file: DescFile, known: Map<string, DescFile>): void {
  if (known.has(file.name)) return;
  known.set(file.name, file);
  for (const dependency of file.dependencies) collect(dependency, known);
}

/** The health library loads its own proto file; the descriptors hang off the types of its methods. */
function healthDescriptors(): Buffer[] {
  return Object.values(healthService).flatMap((method) =>
    'requestType' in method ? method.requestType.fileDescriptorProtos : [],
  );
}
