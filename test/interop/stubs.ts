/** Generates the Python stubs with the tools of Debian 12, and says what is missing where they are not installed. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { projectRoot } from '../tidy/files.ts';

/** Not the first one on the path: Debian's modules are installed for Debian's Python. */
export const PYTHON = '/usr/bin/python3';

/** null when everything is there, otherwise one line that says what to do. */
export function missingTools(): string | null {
  const { status } = spawnSync(PYTHON, ['-c', 'import grpc, grpc_tools.protoc, google.protobuf'], { stdio: 'ignore' });
  return status === 0 ? null : `${PYTHON} has no gRPC; install it with scripts/install-system-deps.sh`;
}

/** Folder of an installed package. */
function packageFolder(name: string): string {
  return dirname(createRequire(import.meta.url).resolve(`${name}/package.json`));
}

/** Compiles proto/ (what clients need of it), health and reflection into `folder`. Throws with the compiler's words. */
export function generateStubs(folder: string): void {
  // Under another name: a Python package `grpc` would hide the library.
  const reflection = join(folder, 'proto', 'grpc_reflection_v1');
  mkdirSync(reflection, { recursive: true });
  copyFileSync(
    join(packageFolder('@grpc/reflection'), 'build/proto/grpc/reflection/v1/reflection.proto'),
    join(reflection, 'reflection.proto'),
  );
  const proto = join(projectRoot, 'proto');
  const files = readdirSync(proto, { recursive: true, encoding: 'utf8' }).filter(
    (path) => path.endsWith('.proto') && !path.includes('internal'),
  );
  const includes = [proto, join(folder, 'proto'), join(packageFolder('grpc-health-check'), 'proto')];
  const args = [
    ...includes.flatMap((path) => ['-I', path]),
    `--python_out=${folder}`,
    `--grpc_python_out=${folder}`,
    ...files.sort(),
    'health/v1/health.proto',
    'grpc_reflection_v1/reflection.proto',
  ];
  const { status, stderr } = spawnSync(PYTHON, ['-m', 'grpc_tools.protoc', ...args], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`Debian's compiler does not accept proto/:\n${stderr}`);
}
