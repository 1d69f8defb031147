// The page of a Proof of Quality network.

import "@picocss/pico/css/pico.min.css";
import "./style.css";
import { render, type ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { start } from "./lib/node.ts";
import { route } from "./lib/router.ts";
import { Ask } from "./pages/ask.tsx";
import { Note, Page, Skeleton } from "./parts/basics.tsx";
import { Shell } from "./parts/shell.tsx";
import { t } from "./strings.ts";

/** A page that is loaded when it is first looked at. */
function later<Properties extends object>(load: () => Promise<ComponentType<Properties>>): ComponentType<Properties> {
  let loaded: ComponentType<Properties> | undefined;
  return (properties) => {
    const [Component, setComponent] = useState<ComponentType<Properties> | undefined>(() => loaded);
    useEffect(() => {
      let over = false;
      void load().then((component) => {
        loaded = component;
        if (!over) setComponent(() => component);
      });
      return () => {
        over = true;
      };
    }, []);
    return Component ? <Component {...properties} /> : <Skeleton lines={12} />;
  };
}

const Requests = later(async () => (await import("./pages/requests.tsx")).Requests);
const RequestPage = later<{ id: string }>(async () => (await import("./pages/requests.tsx")).RequestPage);
const Models = later(async () => (await import("./pages/models.tsx")).Models);
const Operators = later(async () => (await import("./pages/operators.tsx")).Operators);
const OperatorPage = later<{ address: string }>(async () => (await import("./pages/operators.tsx")).OperatorPage);
const Network = later(async () => (await import("./pages/network.tsx")).Network);
const Verify = later(async () => (await import("./pages/verify.tsx")).Verify);

function Current() {
  const { page, argument } = route.value;
  switch (page) {
    case "":
      return <Ask />;
    case "requests":
      return argument === undefined ? <Requests /> : <RequestPage id={argument} key={argument} />;
    case "models":
      return <Models />;
    case "operators":
      return argument === undefined ? <Operators /> : <OperatorPage address={argument} key={argument} />;
    case "network":
      return <Network />;
    case "verify":
      return <Verify />;
    default:
      return (
        <Page title={t.errors.notFound}>
          <Note title={t.errors.notFoundHelp}>
            <p>
              <a href="#/">{t.pages.ask}</a>
            </p>
          </Note>
        </Page>
      );
  }
}

const App = () => (
  <Shell>
    <Current />
  </Shell>
);

const place = document.getElementById("app");
if (place) render(<App />, place);
void start();
