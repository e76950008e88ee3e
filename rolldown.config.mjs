// The command line as few files: Node takes longer to find and compile a hundred modules than `record` takes to begin. What tsc built is
// the source, so the types are checked before; commands are still loaded when they are called. Library users get dist/ as it is.
import { defineConfig } from 'rolldown';

export default defineConfig({
  input: { main: 'dist/cli/main.js', 'snapshot-worker': 'dist/cli/snapshot-worker.js' },
  platform: 'node',
  external: ['koffi'],
  output: { dir: 'dist/bin', format: 'esm', entryFileNames: '[name].js', chunkFileNames: '[name]-[hash].js' },
});
