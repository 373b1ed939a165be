// @ts-check
// Addresses: links below the page's base change the view, not the page. Back restores the scroll position.
import { url } from "./api.js";

/** @typedef {{name: string, kb?: string, id?: string, q?: string}} Route */

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** What an address shows; null where it is not one of the page. @param {URL} address @returns {Route | null} */
export function routeOf(address) {
  const base = url("./");
  if (address.origin !== base.origin || !address.pathname.startsWith(base.pathname)) return null;
  const parts = address.pathname.slice(base.pathname.length).split("/").filter(Boolean).map(decoded);
  const query = address.searchParams;
  if (!parts.length) return { name: "home" };
  if (parts[0] === "k" && parts.length === 2) return { name: "entries", kb: parts[1] };
  if (parts[0] === "k" && parts.length === 3) return { name: "entry", kb: parts[1], id: parts[2] };
  if (parts[0] === "search" && parts.length === 1) return { name: "search", q: query.get("q") ?? "" };
  if (parts[0] === "problems" && parts.length === 1) return { name: "problems", kb: query.get("kb") ?? undefined };
  return null;
}

/** Go to a place in what is shown. @param {string} hash `#` and its id; one that is not there is none. */
export function goToPlace(hash) {
  const target = document.getElementById(decoded(hash.slice(1)));
  if (!target) return;
  target.scrollIntoView();
  if (!target.hasAttribute("tabindex")) target.tabIndex = -1;
  target.focus({ preventScroll: true });
}

/**
 * @param {(route: Route | null, how: {scroll: number, moved: boolean, hash: string}) => void} show `moved`: by a person's click, not by back or load.
 */
export function makeRouter(show) {
  history.scrollRestoration = "manual";
  const keepScroll = () => history.replaceState({ ...history.state, scroll: scrollY }, "");
  let timer = 0;
  addEventListener("scroll", () => {
    clearTimeout(timer);
    timer = setTimeout(keepScroll, 150);
  }, { passive: true });

  const router = {
    /** @param {string} path @param {{replace?: boolean}} [options] */
    go(path, { replace = false } = {}) {
      const address = url(path);
      if (!replace) {
        clearTimeout(timer);
        keepScroll();
        history.pushState({}, "", address);
      } else history.replaceState(history.state, "", address);
      show(routeOf(address), { scroll: replace ? scrollY : 0, moved: !replace, hash: address.hash });
    },
    /** The same view has another address now. @param {string} path */
    rename(path) {
      history.replaceState(history.state, "", url(path));
    },
    start() {
      show(routeOf(new URL(location.href)), { scroll: history.state?.scroll ?? 0, moved: false, hash: location.hash });
    },
  };

  addEventListener("popstate", () => {
    clearTimeout(timer);
    router.start();
  });
  document.addEventListener("click", (event) => {
    const link = /** @type {Element} */ (event.target).closest?.("a[href]");
    if (!(link instanceof HTMLAnchorElement)) return;
    if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    if (link.target || link.hasAttribute("download")) return;
    const raw = link.getAttribute("href") ?? "";
    if (raw.startsWith("#")) {
      // The base would turn it into an address of the home view.
      event.preventDefault();
      return goToPlace(raw);
    }
    if (!routeOf(new URL(link.href))) return; // files, the API, other sites: the browser's
    event.preventDefault();
    const [to, hash] = link.href.split("#");
    if (to === location.href.split("#")[0]) hash ? goToPlace(`#${hash}`) : scrollTo(0, 0);
    else router.go(link.href);
  });
  return router;
}
